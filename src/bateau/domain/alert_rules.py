"""The rules of alerts: pure data, which the control plane evaluates, and which can be rendered for Prometheus.

Read by control.alert_conditions.

The rules of error budgets have two windows each: the long one says that a real part of the budget is used, the short
one that it is still being used, so that an alert ends soon after its cause.
Source: Beyer et al., "The Site Reliability Workbook" (2018), ch. 5, "Alerting on SLOs", table 5-6 (multiwindow,
multi-burn-rate alerts) and "Low-Traffic Services and Error Budget Alerting". Names follow those of kubernetes-mixin.

Invariant: the failure of a few requests never fires an alert about an error budget. Held by
tests/control/test_alert_conditions.py::test_few_failed_requests_fire_nothing.
Refused: rules as text in PromQL. An instance without Prometheus would need an interpreter of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bateau.domain.measures import (
    ANSWERS,
    CPU,
    MEMORY,
    REPLICAS_READY,
    REPLICAS_WANTED,
    REQUESTS,
    RESTARTS,
    SERVER_ERRORS,
    SLOW,
    WAITING,
    Measure,
)
from bateau.domain.slo import LATENCY_SHARE, Slo

# As Prometheus' rules have them: `critical` wakes the person on call, `warning` can wait for the morning.
Severity = Literal["critical", "warning"]
# The bounds of a service that come from its spec.
Bound = Literal["cpu", "memory", "queue"]

HOUR_S: Final = 3600.0
MINUTE_S: Final = 60.0
DAY_S: Final = 86_400.0
FAILED_MIN: Final = 10.0
_RESTART_S: Final = 5 * MINUTE_S  # within it, a new control plane notices the same failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An error budget is used `factor` times as fast as it may be, in the long and in the short window."""

    long_s: float
    short_s: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRate:
    """In one of the `windows`, the share of `bad` in `total` is too large for an objective of the service.

    In its long window at least `bad_min` requests are bad.
    """

    bad: Measure
    total: Measure
    objective: Literal["availability", "latency"]
    windows: tuple[Window, ...]
    bad_min: float = FAILED_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Above:
    """A measure is at least `bound`. With `per`, it is divided by a bound of the service; without one, it never holds.

    A sum is that of the last `window_s` seconds, and with `per` its increase in a second. A gauge is the latest value.
    """

    measure: Measure
    bound: float
    per: Bound | None = None
    window_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fewer:
    """The latest value of a measure is less than that of another, or with `none` it is 0 and that of the other not."""

    measure: Measure
    than: Measure
    none: bool = False


# A condition that a measure does not show: the control plane knows it from its state.
FactName = Literal[
    "budget-used",
    "certificate-expires",
    "changed-files",
    "cluster-unreachable",
    "control-plane-fails",
    "delivery-failed",
    "disk-full",
    "drifted",
    "exception-ends",
    "fetch-failed",
    "key-expires",
    "out-of-memory",
    "revision-held",
    "rollout-failed",
    "source-failed",
    "specs-rejected",
    "unscheduled",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A condition that the control plane knows from its state, by its name.

    Another system that does not know it follows `bateau_alert_firing` on the metrics page.
    """

    name: FactName


Condition = BurnRate | Above | Fewer | Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule. The alert fires once `when` has held for `for_s` seconds, and ends once it has not for `keep_s`.

    `summary` and `description` are sentences for people, and `{subject}` in them is the service or the thing that it is
    about. `description` says how to fix it. `causes` are the reasons of events that may explain it, the best first.
    """

    name: str
    severity: Severity
    when: Condition
    summary: str
    description: str
    for_s: float = 0.0
    keep_s: float = 0.0
    causes: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        """The target of the rule in docs/reference/alerts.md."""
        return self.name.lower()


def budget(slo: Slo, objective: Literal["availability", "latency"]) -> float:
    """Return the share of requests that may be bad.

    >>> round(budget(Slo(availability=99.5), "availability"), 6), round(budget(Slo(), "latency"), 6)
    (0.005, 0.05)
    """
    return 1 - (slo.availability if objective == "availability" else LATENCY_SHARE) / 100


def bad_share(slo: Slo, objective: Literal["availability", "latency"], window: Window) -> float:
    """Return the share of bad requests from which on a window holds; a large budget does not make it unreachable.

    >>> round(bad_share(Slo(availability=99.5), "availability", FAST[0]), 4)
    0.072
    >>> bad_share(Slo(availability=90), "availability", FAST[0])
    1.0
    """
    return min(1.0, window.factor * budget(slo, objective))


FAST: Final = (
    Window(long_s=HOUR_S, short_s=5 * MINUTE_S, factor=14.4),
    Window(long_s=6 * HOUR_S, short_s=30 * MINUTE_S, factor=6),
)
SLOW_WINDOWS: Final = (Window(long_s=3 * DAY_S, short_s=6 * HOUR_S, factor=1),)
# Why requests fail: the ends of processes come before their consequences.
_CRASHES: Final = ("OutOfMemory", "Restarted", "BackOff", "Unready", "Failed", "Stopped")
_CHANGES: Final = ("Released", "RolledBack", "Scaled")
_TRAFFIC: Final = (*_CRASHES, *_CHANGES, "LimitReached")

RULES: Final[Sequence[Rule]] = (
    Rule(
        name="BateauErrorBudgetBurn",
        severity="critical",
        when=BurnRate(bad=SERVER_ERRORS, total=REQUESTS, objective="availability", windows=FAST),
        summary="{subject} uses up its error budget: too many requests fail",
        description="Look at the cause, and at the log: `bateau logs {subject}`. If a release is the cause, run "
        "`bateau rollback {subject}`.",
        causes=_TRAFFIC,
    ),
    Rule(
        name="BateauErrorBudgetBurnSlow",
        severity="warning",
        when=BurnRate(bad=SERVER_ERRORS, total=REQUESTS, objective="availability", windows=SLOW_WINDOWS),
        summary="{subject} fails more requests than its objective allows, for days",
        description="Look for the errors in `bateau timeline {subject} --since 3d`, or set another "
        "`spec.slo.availability`.",
        causes=_TRAFFIC,
    ),
    Rule(
        name="BateauLatencyBudgetBurn",
        severity="warning",
        when=BurnRate(bad=SLOW, total=ANSWERS, objective="latency", windows=(*FAST, *SLOW_WINDOWS)),
        summary="{subject} answers too late",
        description="Add replicas or `scale`, shorten the prompts of a model, or set another `spec.slo.ttftP95` "
        "(of an app: `ttfbP95`).",
        causes=(*_CHANGES, *_CRASHES),
    ),
    Rule(
        name="BateauServiceDown",
        severity="critical",
        when=Fewer(measure=REPLICAS_READY, than=REPLICAS_WANTED, none=True),
        summary="No replica of {subject} is ready",
        description="`bateau status` has the reason, and `bateau logs {subject}` the output of the replicas.",
        for_s=MINUTE_S,
        causes=("OutOfMemory", "Restarted", "BackOff", "Failed", "Unready", *_CHANGES),
    ),
    Rule(
        name="BateauReplicasMissing",
        severity="warning",
        when=Fewer(measure=REPLICAS_READY, than=REPLICAS_WANTED),
        summary="{subject} has fewer replicas ready than it should have",
        description="`bateau status` has the reason of each replica that is not ready.",
        for_s=15 * MINUTE_S,
        causes=(*_CRASHES, *_CHANGES),
    ),
    Rule(
        name="BateauRestartLoop",
        severity="critical",
        when=Above(measure=RESTARTS, bound=3, window_s=10 * MINUTE_S),
        summary="Replicas of {subject} restart again and again",
        description="`bateau logs {subject}` has the last lines before each end. If a release is the cause, run "
        "`bateau rollback {subject}`.",
        causes=("OutOfMemory", "Restarted", "BackOff", *_CHANGES),
    ),
    Rule(
        name="BateauOutOfMemory",
        severity="warning",
        when=Fact(name="out-of-memory"),
        summary="The kernel has killed a replica of {subject} because its memory was full",
        description="Set a larger `spec.resources.memory`, or a smaller `contextLength` or `parallel` of a model.",
        causes=("OutOfMemory",),
    ),
    Rule(
        name="BateauMemoryNearLimit",
        severity="warning",
        when=Above(measure=MEMORY, bound=0.9, per="memory"),
        summary="{subject} uses more than 90 % of its memory limit",
        description="Set a larger `spec.resources.memory`: a replica that reaches its limit is killed.",
        for_s=5 * MINUTE_S,
        causes=_CHANGES,
    ),
    Rule(
        name="BateauCPUSaturated",
        severity="warning",
        when=Above(measure=CPU, bound=0.95, per="cpu", window_s=10 * MINUTE_S),
        summary="{subject} uses all of the CPU that it may use",
        description="Add replicas, or set a larger `spec.resources.cpu`.",
        for_s=15 * MINUTE_S,
        causes=_CHANGES,
    ),
    Rule(
        name="BateauQueueFull",
        severity="warning",
        when=Above(measure=WAITING, bound=1, per="queue"),
        summary="The queue of {subject} is full, so that more requests are refused",
        description="Add replicas, set a larger `scale.max`, or a larger `scale.queue.max`.",
        for_s=MINUTE_S,
        causes=(*_CRASHES, *_CHANGES),
    ),
    Rule(
        name="BateauFetchFailed",
        severity="critical",
        when=Fact(name="fetch-failed"),
        summary="The model of {subject} cannot be fetched",
        description="Correct the address or the access, or set another `spec.source`. Bateau tries again by itself.",
    ),
    Rule(
        name="BateauSourceFailed",
        severity="warning",
        when=Fact(name="source-failed"),
        summary="The specs of {subject} cannot be read",
        description="The running services are not changed meanwhile. Fix the access to the specs.",
        for_s=2 * MINUTE_S,
        keep_s=_RESTART_S,
        causes=("FetchFailed",),
    ),
    Rule(
        name="BateauSpecsRejected",
        severity="warning",
        when=Fact(name="specs-rejected"),
        summary="The specs have errors, and were not applied",
        description="Run `bateau check`, and fix the errors. The running services were not changed.",
        for_s=MINUTE_S,
        causes=("SpecsRejected",),
    ),
    Rule(
        name="BateauDrift",
        severity="warning",
        when=Fact(name="changed-files"),
        summary="{subject} no longer runs what its files contain",
        description="Run `bateau restart {subject}` to start it from the changed files, or restore them.",
        for_s=5 * MINUTE_S,
        causes=_CHANGES,
    ),
    Rule(
        name="BateauRevisionHeld",
        severity="warning",
        when=Fact(name="revision-held"),
        summary="{subject} is held at an earlier revision, so it differs from its spec",
        description="Fix its spec: a change of it ends the rollback.",
        for_s=DAY_S,
        causes=("RolledBack",),
    ),
    Rule(
        name="BateauDiskFull",
        severity="critical",
        when=Fact(name="disk-full"),
        summary="The disk with {subject} is almost full",
        description="Free some space: `bateau models list` shows the models that can be removed.",
        for_s=MINUTE_S,
    ),
    Rule(
        name="BateauCertificateExpires",
        severity="warning",
        when=Fact(name="certificate-expires"),
        summary="The certificate of the endpoint expires soon",
        description="Replace the files of --tls-cert and --tls-key: the gateway loads the new ones by itself.",
    ),
    Rule(
        name="BateauKeyExpires",
        severity="warning",
        when=Fact(name="key-expires"),
        summary="The API key {subject} expires soon",
        description="Create another key for its clients: `bateau keys create`.",
    ),
    Rule(
        name="BateauBudgetUsed",
        severity="warning",
        when=Fact(name="budget-used"),
        summary="{subject} has used up a limit, so requests are refused",
        description="`bateau keys show` and `bateau usage` show who has used how much. Raise the limit, or wait.",
        for_s=2 * MINUTE_S,
        causes=("LimitReached",),
    ),
    Rule(
        name="BateauExceptionEnds",
        severity="warning",
        when=Fact(name="exception-ends"),
        summary="An exception of the policy {subject} ends soon",
        description="Fix the objects that it excepts, or agree on another date.",
    ),
    Rule(
        name="BateauClusterUnreachable",
        severity="critical",
        when=Fact(name="cluster-unreachable"),
        summary="{subject} cannot be reached by its controller",
        description="Its services continue, and nobody repairs or changes them meanwhile. Check the API server and the "
        "network to it: `kubectl get --raw /readyz`.",
        causes=("ClusterUnreachable",),
    ),
    Rule(
        name="BateauRolloutFailed",
        severity="warning",
        when=Fact(name="rollout-failed"),
        summary="{subject} could not be rolled out on its cluster",
        description="Fix the reason, or run `bateau rollback {subject}`. Replicas of the revision before continue.",
        for_s=MINUTE_S,
        causes=("Failed", "BackOff", *_CHANGES),
    ),
    Rule(
        name="BateauUnschedulable",
        severity="warning",
        when=Fact(name="unscheduled"),
        summary="No node of the cluster takes a replica of {subject}",
        description="Add nodes, or lower `spec.resources` or `spec.replicas`.",
        for_s=5 * MINUTE_S,
    ),
    Rule(
        name="BateauObjectsDrifted",
        severity="warning",
        when=Fact(name="drifted"),
        summary="Objects of {subject} were changed on the cluster, and are left like that",
        description="`bateau plan` shows the difference. Change the specs, or set `drift: repair`.",
        for_s=5 * MINUTE_S,
        causes=_CHANGES,
    ),
    Rule(
        name="BateauControlPlaneFails",
        severity="critical",
        when=Fact(name="control-plane-fails"),
        summary="Turns of the control loop fail, so changes may have no effect",
        description="`bateau logs control` has the details for a report. The running services are not affected.",
        for_s=MINUTE_S,
        keep_s=_RESTART_S,
    ),
    Rule(
        name="BateauDeliveryFailed",
        severity="warning",
        when=Fact(name="delivery-failed"),
        summary="Alerts cannot be delivered to {subject}",
        description="Run `bateau alerts test`, and fix the receiver. The delivery is tried again by itself.",
        for_s=2 * MINUTE_S,
        keep_s=_RESTART_S,
        causes=("DeliveryFailed",),
    ),
)
