"""Judge for each rule of alerts, and each service, whether its condition holds now.

Called by control.alerting, wiring.alert_facts, wiring.alerts and wiring.cluster_alert_facts. Pure: it is given the
history of measures, the facts and the time.

Invariant: a condition whose measures are unknown is neither true nor false. Held by
tests/control/test_alert_conditions.py::test_what_is_not_known_neither_holds_nor_ends.
Invariant: a service that fetches its model for the first time is not down. Held by
tests/control/test_alert_conditions.py::test_a_service_that_fetches_its_model_is_not_down.
Invariant: a bug in the evaluation for a service leaves the others. Held by
tests/control/test_alert_conditions.py::test_a_bug_about_one_service_leaves_the_others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bateau.domain.alert_rules import (
    Above,
    BurnRate,
    Fact,
    FactName,
    Fewer,
    Rule,
    Window,
    bad_share,
    budget,
)
from bateau.domain.measures import ANSWERS, Measure, MeasureHistory
from bateau.domain.slo import Slo
from bateau.kit.quantity import format_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A service, its objectives, and the bounds from its spec: of all of its replicas together; None: it has none.

    `is_fetching`: its model is not on this machine, which has an alert of its own if that fails.
    """

    key: str
    slo: Slo
    is_fetching: bool = False
    cpu: float | None = None
    memory: float | None = None
    queue: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A fact that is true of a subject, with a sentence; with `holds` None, that is not known."""

    subject: str
    service: str | None = None
    says: str = ""
    holds: bool | None = True


# The facts by name; None for those that are not known now.
Facts = Mapping[FactName, Sequence[Seen] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the condition of a rule holds for a subject; None: that is not known. Without a subject: for any."""

    rule: Rule
    holds: bool | None
    subject: str | None
    service: str | None = None
    says: str = ""


def verdicts(
    rules: Sequence[Rule],
    services: Sequence[Watched] | None,
    history: MeasureHistory,
    facts: Facts,
    now: float,
    *,
    failed: Callable[[str, Exception], None],
) -> Iterator[Verdict]:
    """Yield the verdicts about all rules. A rule without a verdict about a subject does not hold for it.

    `services` is None while nobody knows which services should run. If a bug keeps a rule from being evaluated
    for a service, that verdict is not known, and `failed` is called with its name and the error.
    """
    latest = {each.key: history.latest(each.key) for each in services or ()}
    for rule in rules:
        if isinstance(rule.when, Fact):
            yield from _of_facts(rule, facts.get(rule.when.name, ()))
            continue
        if services is None:
            yield Verdict(rule=rule, holds=None, subject=None)
            continue
        for each in services:
            try:
                holds, says = _judge(rule.when, each, history, latest[each.key], now)
            except Exception as error:  # noqa: BLE001 - it is reported, and the other services are judged
                failed(f"{rule.name} of {each.key}", error)
                holds, says = None, ""
            yield Verdict(rule=rule, holds=holds, subject=each.key, service=each.key, says=says)


def _judge(
    when: BurnRate | Above | Fewer, each: Watched, history: MeasureHistory, latest: Mapping[str, float], now: float
) -> tuple[bool | None, str]:
    match when:
        case BurnRate():
            return _burns(when, each, history, now)
        case Above():
            return _is_above(when, each, history, latest, now)
        case Fewer():
            return _are_fewer(when, each, latest)


def _of_facts(rule: Rule, seen: Sequence[Seen] | None) -> Iterator[Verdict]:
    if seen is None:
        yield Verdict(rule=rule, holds=None, subject=None)
        return
    for each in seen:
        yield Verdict(rule=rule, holds=each.holds, subject=each.subject, service=each.service, says=each.says)


def _burns(when: BurnRate, each: Watched, history: MeasureHistory, now: float) -> tuple[bool | None, str]:
    found = [_burns_in(window, when, each, history, now) for window in when.windows]
    best = next((window for window in found if window[0]), None)
    if best:
        return best
    return (None if all(holds is None for holds, _ in found) else False), ""


def _burns_in(
    window: Window, when: BurnRate, each: Watched, history: MeasureHistory, now: float
) -> tuple[bool | None, str]:
    def total_of(measure: Measure, seconds: float) -> float | None:
        return history.total(each.key, measure, since=now - seconds, until=now)

    # Most services have few bad requests, so most windows cost one sum.
    bad = total_of(when.bad, window.long_s)
    if bad is None:
        return None, ""
    if bad < when.bad_min:
        return False, ""
    total = total_of(when.total, window.long_s)
    if total is None:
        return None, ""
    least = bad_share(each.slo, when.objective, window)
    if not total or bad / total < least:
        return False, ""
    short_bad, short_total = total_of(when.bad, window.short_s), total_of(when.total, window.short_s)
    if short_bad is None or short_total is None:
        return None, ""
    if not short_total or short_bad / short_total < least:
        return False, ""
    allowed = budget(each.slo, when.objective)
    what = "were answered too late" if when.total is ANSWERS else "failed"
    says = (
        f"{_percent(bad / total)} of {total:,.0f} requests in {format_seconds(window.long_s)} {what}, and "
        f"{_percent(short_bad / short_total)} of those in {format_seconds(window.short_s)}; the objective allows "
        f"{_percent(allowed)}"
    )
    return True, says


def _is_above(
    when: Above, each: Watched, history: MeasureHistory, latest: Mapping[str, float], now: float
) -> tuple[bool | None, str]:
    is_sum = when.measure.kind == "sum"
    if is_sum:
        value = history.total(each.key, when.measure, since=now - when.window_s, until=now)
    else:
        value = latest.get(when.measure.name)
    bound = getattr(each, when.per) if when.per else 1.0
    if bound is None:
        return False, ""
    if value is None:
        return None, ""
    part = value / (bound or 1.0) / (when.window_s if is_sum and when.per else 1.0)
    if part < when.bound:
        return False, ""
    if when.per:
        return True, f"{_percent(part)} of its limit"
    unit = when.measure.unit.strip("{}")
    during = f" in {format_seconds(when.window_s)}" if is_sum else ""
    return True, f"{value:,.0f} {unit}{'' if value == 1 else 's'}{during}"


def _are_fewer(when: Fewer, each: Watched, latest: Mapping[str, float]) -> tuple[bool | None, str]:
    if each.is_fetching:
        return False, ""
    value, than = latest.get(when.measure.name), latest.get(when.than.name)
    if value is None or than is None:
        return None, ""
    holds = value < than and (value == 0 or not when.none)
    return holds, f"{value:.0f} of {than:.0f} replicas are ready" if holds else ""


def _percent(share: float) -> str:
    """Return a share in percent, with as many digits as matter.

    >>> _percent(0.0723), _percent(0.005), _percent(1.0)
    ('7.2 %', '0.5 %', '100 %')
    """
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 0.1 else f"{value:.2g} %"  # noqa: PLR2004
