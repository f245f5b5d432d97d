"""The cause of an alert, as far as the events of its service know it."""

from dataclasses import replace

from bateau.control.alert_causes import BEFORE_S, cause_of
from bateau.domain.alert_rules import RULES
from bateau.domain.event import Event
from control.alerts import firing

RULE = next(each for each in RULES if each.name == "BateauErrorBudgetBurn")
ALERT = replace(firing("BateauErrorBudgetBurn"), since=2000.0)


def event(
    reason: str, says: str = "it did", *, at: float = 1990.0, service: str = "model/chat", **fields: str
) -> Event:
    return Event(when_s=at, subject="model.chat.0", reason=reason, says=says, fields={"service": service, **fields})


def test_the_end_of_a_process_explains_more_than_what_follows_from_it():
    events = [
        event("OutOfMemory", "out of memory, its limit is 4 GiB"),
        event("Restarted", "killed by signal 9"),
        event("Unready", "its probes fail", at=1999.0),
    ]
    assert cause_of(RULE, ALERT, events) == (
        "model.chat.0 OutOfMemory: out of memory, its limit is 4 GiB (1970-01-01T00:33:10Z)"
    )


def test_a_release_shortly_before_is_named_too():
    events = [
        event("Released", "revision 2 changes it", at=1900.0, commit="da1560886d4f094c3e6c9ef4"),
        event("Restarted", "exited with code 1"),
    ]
    assert cause_of(RULE, ALERT, events) == (
        "model.chat.0 Restarted: exited with code 1 (1970-01-01T00:33:10Z); before that, model.chat.0 Released: "
        "revision 2 changes it, commit da1560886d4f (1970-01-01T00:31:40Z)"
    )
    assert cause_of(RULE, ALERT, events[:1]).startswith("model.chat.0 Released: revision 2")


def test_other_services_old_events_and_alerts_explain_nothing():
    events = [
        event("Restarted", service="app/shop"),
        event("Restarted", at=2000.0 - BEFORE_S - 1),
        event("AlertFiring"),
        event("Unready", ""),
    ]
    assert cause_of(RULE, ALERT, events) == ""


def test_the_latest_of_several_ends_is_named():
    events = [event("Restarted", "exited with code 1", at=1980.0), event("Restarted", "killed by signal 9", at=1995.0)]
    assert "killed by signal 9" in cause_of(RULE, ALERT, events)
