"""The states of alerts: pending, firing, resolved. Pure: it is given the verdicts and the time.

Called by wiring.alerts.

Invariant: an alert fires once its condition has held without a break for as long as its rule says, and ends once.
Held by tests/control/test_alerting.py::test_an_alert_fires_once_and_ends_once.
Invariant: an unknown condition changes no alert. Held by
tests/control/test_alerting.py::test_an_unknown_condition_changes_nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bateau.control.alert_conditions import Verdict
from bateau.domain.alert import Alert
from bateau.domain.alert_rules import Fact, Rule
from bateau.domain.event import Event
from bateau.domain.timeline import SERVICE

# Returns what the timeline knows about the cause of an alert, empty if that is nothing.
CauseOf = Callable[[Rule, Alert], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The alerts after a step, by key, and those that fire or have ended in it."""

    alerts: Mapping[str, Alert]
    fired: Sequence[Alert] = ()
    ended: Sequence[Alert] = ()


@dataclass(slots=True)
class _Outcome:
    alerts: dict[str, Alert] = field(default_factory=dict[str, Alert])
    fired: list[Alert] = field(default_factory=list[Alert])
    ended: list[Alert] = field(default_factory=list[Alert])


def step(
    before: Mapping[str, Alert],
    verdicts: Iterable[Verdict],
    *,
    rules: Mapping[str, Rule],
    now: float,
    cause_of: CauseOf = lambda _rule, _alert: "",
) -> Step:
    """Return the alerts after verdicts about all rules. `rules` are those by name; alerts of others end."""
    outcome, judged = _Outcome(), set[str]()
    unknown: set[str] = set()  # names of rules about which nothing is known
    for verdict in verdicts:
        if verdict.subject is None:
            unknown.add(verdict.rule.name)
            continue
        alert = _alert(verdict, verdict.subject, now)
        judged.add(alert.key)
        known = before.get(alert.key)
        if verdict.holds:
            _hold(outcome, verdict.rule, known, alert, now, cause_of)
        elif known:
            _release(outcome, rules.get(known.name), known, now, is_unknown=verdict.holds is None)
    for key in before.keys() - judged:
        known = before[key]
        _release(outcome, rules.get(known.name), known, now, is_unknown=known.name in unknown)
    return Step(alerts=outcome.alerts, fired=outcome.fired, ended=outcome.ended)


def _alert(verdict: Verdict, subject: str, now: float) -> Alert:
    rule = verdict.rule
    return Alert(
        name=rule.name,
        subject=subject,
        service=verdict.service,
        severity=rule.severity,
        summary=rule.summary.replace("{subject}", subject),
        description=rule.description.replace("{subject}", subject),
        since=now,
        held_at=now,
        says=verdict.says,
    )


def _hold(outcome: _Outcome, rule: Rule, known: Alert | None, alert: Alert, now: float, cause_of: CauseOf) -> None:
    if known:
        # A clock that was set back makes nobody wait longer than the rule says.
        alert = replace(alert, since=min(known.since, now), fired_at=known.fired_at, cause=known.cause)
    if alert.fired_at is None and now - alert.since >= rule.for_s:
        alert = _caused(rule, replace(alert, fired_at=now), cause_of)
        outcome.fired.append(alert)
    elif alert.fired_at is not None and not alert.cause:
        alert = _caused(rule, alert, cause_of)  # its event may have come later
    outcome.alerts[alert.key] = alert


def _caused(rule: Rule, alert: Alert, cause_of: CauseOf) -> Alert:
    return replace(alert, cause=cause_of(rule, alert) or (alert.says if isinstance(rule.when, Fact) else ""))


def _release(outcome: _Outcome, rule: Rule | None, known: Alert, now: float, *, is_unknown: bool) -> None:
    """Keep an alert whose condition is unknown, or that may begin again; end or forget any other."""
    keep_s = rule.keep_s if rule else 0.0
    if (rule and is_unknown) or (known.fired_at is not None and 0 <= now - known.held_at < keep_s):
        outcome.alerts[known.key] = known
    elif known.fired_at is not None:
        outcome.ended.append(replace(known, ended_at=now))


def alert_event(alert: Alert, now: float) -> Event:
    """Return the event of an alert that fires or has ended."""
    fields = {"alert": alert.name, "severity": alert.severity, **({SERVICE: alert.service} if alert.service else {})}
    is_over = alert.state == "resolved"
    cause = f"; cause: {alert.cause}" if alert.cause and not is_over else ""
    return Event(
        when_s=now,
        subject=alert.subject,
        reason="AlertResolved" if is_over else "AlertFiring",
        says=f"{alert.name}: {alert.summary}{cause}",
        warning=not is_over,
        fields=fields,
    )
