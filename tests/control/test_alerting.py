"""The states of alerts: when they fire, how long they stay, and when they end."""

from dataclasses import replace

from bateau.control.alert_conditions import Verdict
from bateau.control.alerting import Step, alert_event, step
from bateau.domain.alert_rules import Fact, Rule

RULE = Rule(
    name="BateauFetchFailed",
    severity="critical",
    when=Fact(name="fetch-failed"),
    summary="the model of {subject} cannot be fetched",
    description="look at {subject}",
    for_s=60,
    keep_s=30,
)


class Clocked:
    """A run of steps with one rule."""

    def __init__(self, rule: Rule = RULE) -> None:
        self.rule = rule
        self.now = 1000.0
        self.last = Step(alerts={})

    def after(self, seconds: float, holds: bool | None, says: str = "no route") -> Step:
        self.now += seconds
        verdict = Verdict(rule=self.rule, holds=holds, subject="model/chat", service="model/chat", says=says)
        self.last = step(self.last.alerts, [verdict], rules={self.rule.name: self.rule}, now=self.now)
        return self.last


def test_an_alert_fires_once_and_ends_once():
    run = Clocked()
    assert [each.state for each in run.after(0, True).alerts.values()] == ["pending"]
    assert not run.after(59, True).fired
    (fired,) = run.after(1, True).fired
    assert (fired.state, fired.since, fired.fired_at) == ("firing", 1000.0, 1060.0)
    assert (fired.summary, fired.cause) == ("the model of model/chat cannot be fetched", "no route")
    assert not run.after(15, True).fired
    assert not run.after(15, False).ended, "it may begin again"
    (ended,) = run.after(15, False).ended
    assert (ended.state, ended.ended_at, ended.fired_at) == ("resolved", 1105.0, 1060.0)
    assert (run.last.alerts, run.after(15, False).ended) == ({}, [])


def test_a_break_begins_the_wait_again():
    run = Clocked()
    run.after(0, True)
    run.after(50, False)
    run.after(10, True)
    assert not run.after(50, True).fired
    assert run.after(10, True).fired


def test_a_condition_that_comes_back_soon_is_the_same_alert():
    run = Clocked()
    run.after(0, True)
    run.after(60, True)
    run.after(20, False)
    found = run.after(5, True)
    assert not found.fired
    assert not found.ended
    assert [each.fired_at for each in found.alerts.values()] == [1060.0]


def test_an_unknown_condition_changes_nothing():
    run = Clocked()
    run.after(0, True)
    run.after(60, True)
    before = run.last.alerts
    found = run.after(3600, None)
    assert (found.alerts, found.fired, found.ended) == (before, [], [])
    nothing_known = Verdict(rule=RULE, holds=None, subject=None)
    again = step(before, [nothing_known], rules={RULE.name: RULE}, now=run.now)
    assert (again.alerts, again.fired, again.ended) == (before, [], [])


def test_the_alert_of_a_removed_service_or_rule_ends():
    run = Clocked()
    run.after(0, True)
    run.after(60, True)
    assert step(run.last.alerts, [], rules={RULE.name: RULE}, now=run.now + 30).ended
    assert step(run.last.alerts, [], rules={}, now=run.now).ended


def test_a_clock_that_was_set_back_fires_nothing_early_and_nothing_late():
    run = Clocked()
    run.after(0, True)
    run.after(-500, True)
    assert not run.after(59, True).fired
    assert run.after(1, True).fired


def test_a_cause_that_becomes_known_later_is_added():
    run = Clocked(replace(RULE, for_s=0))
    run.after(0, True, says="")
    assert [each.cause for each in run.last.alerts.values()] == [""]
    run.after(1, True, says="no route")
    assert [each.cause for each in run.last.alerts.values()] == ["no route"]


def test_the_events_of_an_alert_belong_to_its_service():
    run = Clocked(replace(RULE, for_s=0, keep_s=0))
    (fired,) = run.after(0, True).fired
    event = alert_event(fired, 1000.0)
    assert (event.reason, event.warning, event.fields["service"]) == ("AlertFiring", True, "model/chat")
    assert event.says == "BateauFetchFailed: the model of model/chat cannot be fetched; cause: no route"
    (ended,) = run.after(1, False).ended
    event = alert_event(ended, 1001.0)
    assert (event.reason, event.warning) == ("AlertResolved", False)
