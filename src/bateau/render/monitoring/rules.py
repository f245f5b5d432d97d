"""Render the rules of alerts for Prometheus: a group of recording and alerting rules for each service.

Called by cli.alert_exports and wiring.alert_metrics. Pure: the same specs give the same rules. Source: Prometheus,
"Recording rules" and "Alerting rules"; Prometheus Operator, PrometheusRule (monitoring.coreos.com/v1). The names of
recorded series follow "level:metric:operations".

A condition that only the control plane knows, such as a certificate that expires, comes from `bateau_alert_firing` on
its metrics page. The rules about Bateau itself are for another system: a control plane that is down fires nothing.

Invariant: every rule of domain.alert_rules has one for Prometheus, which fires for bad series and not for good ones.
Held by tests/monitoring/test_rules.py::test_promtool_finds_that_each_rule_fires_for_bad_series_only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, assert_never

from bateau.domain.alert_rules import RULES, Above, BurnRate, Fact, Fewer, Rule, Window, bad_share
from bateau.domain.bounds import bounds_of
from bateau.domain.measures import Measure
from bateau.domain.promql import promql
from bateau.domain.workload import Workload
from bateau.kit.json_value import Json, JsonObject
from bateau.kit.quantity import format_seconds
from bateau.render.monitoring.monitors import JOB

# Names that begin as those of the metrics page would be taken for its series.
_BAD: Final = "service:bateau_bad_requests:increase"
_TOTAL: Final = "service:bateau_requests:increase"
FIRING: Final = "bateau_alert_firing"


@dataclass(frozen=True, kw_only=True)
class _Outside:
    """A rule about Bateau itself, which only another system can evaluate."""

    name: str
    severity: str
    expr: str
    for_: str
    summary: str
    description: str


OUTSIDE: Final = (
    _Outside(
        name="BateauDown",
        severity="critical",
        expr="absent(bateau_build_info)",
        for_="5m",
        summary="no control plane of Bateau is scraped",
        description="Run `bateau status` on its machine, and `bateau up`. Services continue meanwhile, and nobody "
        "restarts or releases them.",
    ),
    _Outside(
        name="BateauMonitorFails",
        severity="critical",
        expr=f'max by (service, instance) (probe_success{{job=~"{JOB}.*"}}) == 0',
        for_="5m",
        summary="{{ $labels.service }} does not answer from outside at {{ $labels.instance }}",
        description="`bateau status {{ $labels.service }}` has the state inside. If that is good, look at the network, "
        "the certificate and the names.",
    ),
    _Outside(
        name="BateauScrapeIncomplete",
        severity="warning",
        expr="max(bateau_scrape_failures) > 0",
        for_="10m",
        summary="the gateway or an engine does not answer with its metrics, so series are missing",
        description="`bateau status` has the state of the gateway and of each replica.",
    ),
)


def rule_groups(services: Sequence[Workload], rules: Sequence[Rule] = RULES) -> JsonObject:
    """Return a file of rules."""
    groups: list[Json] = [_group(f"bateau/{each.key}", list(_of_service(each, rules))) for each in services]
    own = [*(_fact(each) for each in rules if isinstance(each.when, Fact)), *map(_outside, OUTSIDE)]
    return {"groups": [*groups, _group("bateau", own)]}


def prometheus_rule(services: Sequence[Workload], *, name: str, namespace: str | None) -> JsonObject:
    """Return a PrometheusRule for the Prometheus Operator."""
    metadata: JsonObject = {"name": name, "labels": {"app.kubernetes.io/name": "bateau"}}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata,
        "spec": rule_groups(services),
    }


def _group(name: str, rules: list[JsonObject]) -> JsonObject:
    return {"name": name, "rules": [*rules]}


def _of_service(service: Workload, rules: Sequence[Rule]) -> Iterator[JsonObject]:
    burning = [each.when for each in rules if isinstance(each.when, BurnRate)]
    for objective in ("availability", "latency"):
        found = [each for each in burning if each.objective == objective]
        if found and _has(service, found[0]):
            yield from _recorded(service, found)
    for rule in rules:
        expr = _expression(service, rule)
        if expr is not None:
            yield _alert(rule, expr, service=str(service.key))


def _recorded(service: Workload, burning: Sequence[BurnRate]) -> Iterator[JsonObject]:
    """Yield the sums that the rules of one objective need, each recorded once."""
    first = burning[0]
    seconds = {each for when in burning for window in when.windows for each in (window.long_s, window.short_s)}
    labels: JsonObject = {"service": str(service.key), "objective": first.objective}
    for each in sorted(seconds):
        window = format_seconds(each)
        for name, measure in ((_BAD, first.bad), (_TOTAL, first.total)):
            yield {"record": f"{name}{window}", "expr": _of(service, measure, window=window), "labels": labels}


def _expression(service: Workload, rule: Rule) -> str | None:
    """Return the condition of a rule for a service; None if it does not apply to it."""
    match rule.when:
        case BurnRate() as when:
            if not _has(service, when):
                return None
            return "\nor\n".join(f"({_burns(service, when, window)})" for window in when.windows)
        case Above() as when:
            return _above(service, when)
        case Fewer() as when:
            value, than = _of(service, when.measure), _of(service, when.than)
            fewer = f"{value} == 0 and {than} > 0" if when.none else f"{value} < {than}"
            fetches = (
                f'bateau_service_state{{service="{service.key}",state="Pulling"}}',
                f'{FIRING}{{alertname="BateauFetchFailed",subject="{service.key}"}}',
            )
            return f"({fewer})\nunless on() ({' or '.join(fetches)})"
        case Fact():
            return None
        case _:
            assert_never(rule.when)


def _has(service: Workload, when: BurnRate) -> bool:
    return when.objective == "availability" or service.slo.latency_p95_s is not None


def _burns(service: Workload, when: BurnRate, window: Window) -> str:
    labels = f'service="{service.key}",objective="{when.objective}"'

    def recorded(name: str, seconds: float) -> str:
        return f"{name}{format_seconds(seconds)}{{{labels}}}"

    least = f"{bad_share(service.slo, when.objective, window):.6g}"
    shares = (
        f"{recorded(_BAD, seconds)} / {recorded(_TOTAL, seconds)} >= {least}"
        for seconds in (window.long_s, window.short_s)
    )
    return "\n  and ".join((f"{recorded(_BAD, window.long_s)} >= {when.bad_min:g}", *shares))


def _above(service: Workload, when: Above) -> str | None:
    bound = getattr(bounds_of(service), when.per) if when.per else 1.0
    if bound is None:
        return None
    if when.measure.kind == "gauge":
        value = _of(service, when.measure)
    else:
        value = _of(service, when.measure, window=format_seconds(when.window_s))
        bound *= when.window_s if when.per else 1.0
    return f"{value} >= {when.bound:g}" if bound == 1.0 else f"{value} / {bound:.15g} >= {when.bound:g}"


def _of(service: Workload, measure: Measure, *, window: str = "") -> str:
    latency = service.slo.latency_p95_s
    of = partial(promql, measure, str(service.key), is_model=service.is_named_in_bodies, window=window)
    return of() if latency is None else of(bound_s=latency)


def _alert(rule: Rule, expr: str, *, service: str) -> JsonObject:
    return _with_for(
        {"alert": rule.name, "expr": expr},
        rule.for_s,
        labels={"severity": rule.severity, "service": service},
        summary=rule.summary.format(subject=service),
        description=rule.description.format(subject=service),
    )


def _fact(rule: Rule) -> JsonObject:
    """Return the rule for what the control plane knows: it has waited for as long as the rule asks."""
    subject = "{{ $labels.subject }}"
    return _with_for(
        {"alert": rule.name, "expr": f'{FIRING}{{alertname="{rule.name}"}} == 1'},
        0.0,
        labels={"severity": rule.severity},
        summary=rule.summary.format(subject=subject),
        description=rule.description.format(subject=subject),
    )


def _outside(rule: _Outside) -> JsonObject:
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": rule.for_,
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.summary, "description": rule.description},
    }


def _with_for(rule: JsonObject, for_s: float, *, labels: JsonObject, summary: str, description: str) -> JsonObject:
    if for_s:
        rule["for"] = format_seconds(for_s)
    return {**rule, "labels": labels, "annotations": {"summary": summary, "description": description}}
