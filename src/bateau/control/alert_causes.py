"""Find the cause of an alert in the latest events of its service.

Called by wiring.alerts. Pure.

Invariant: the end of a process explains an alert better than its consequences, and an event long before the alert
explains nothing. Held by tests/control/test_alert_causes.py.
"""

from collections.abc import Iterable
from typing import Final

from bateau.domain.alert import Alert
from bateau.domain.alert_rules import Rule
from bateau.domain.event import Event
from bateau.domain.timeline import COMMIT, service_of
from bateau.kit.rfc3339 import rfc3339

BEFORE_S: Final = 900.0  # so long before the condition began, an event may be its cause
_RELEASED: Final = ("Released", "RolledBack")
_COMMIT_CHARACTERS: Final = 12


def cause_of(rule: Rule, alert: Alert, events: Iterable[Event]) -> str:
    """Return the cause of an alert as a sentence, empty if no event explains it. The events come oldest first."""
    since = alert.since - BEFORE_S
    recent = [each for each in events if each.when_s >= since and _concerns(each, alert)]
    best: Event | None = None
    for reason in rule.causes:
        best = next((each for each in reversed(recent) if each.reason == reason and _says_why(each)), None)
        if best:
            break
    if best is None:
        return ""
    says = _sentence(best)
    change = next((each for each in reversed(recent) if each.reason in _RELEASED and each is not best), None)
    if change and change.when_s <= best.when_s and best.reason not in _RELEASED:
        says += f"; before that, {_sentence(change)}"
    return says


def _concerns(event: Event, alert: Alert) -> bool:
    return service_of(event) == alert.service if alert.service else service_of(event) is None


def _says_why(event: Event) -> bool:
    """Whether an event says anything: a replica that stops in a rollout is not a cause."""
    return bool(event.says) and event.reason not in {"AlertFiring", "AlertResolved"}


def _sentence(event: Event) -> str:
    commit = event.fields.get(COMMIT)
    about = f", commit {commit[:_COMMIT_CHARACTERS]}" if commit else ""
    return f"{event.subject} {event.reason}: {event.says}{about} ({rfc3339(event.when_s)})"
