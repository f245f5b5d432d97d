# ruff: noqa: INP001 - docs is not a package; Sphinx's configuration finds this file beside itself
"""Turn the rules of alerts into the reference: for each its severity, its condition and its fix.

Called by generate.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bateau.domain.alert_rules import Rule, Window

_BOUNDS = {
    "cpu": "`spec.resources.cpu` of all replicas",
    "memory": "`spec.resources.memory` of all replicas",
    "queue": "`spec.scale.queue.max`",
}
_FACTS = {
    "budget-used": "A key has used up a budget.",
    "certificate-expires": "The certificate of the endpoint ends within 14 days.",
    "changed-files": "Files that a replica was started from were edited, replaced or removed.",
    "cluster-unreachable": "The API server of a cluster does not answer its controller.",
    "control-plane-fails": "A step of the control loop fails.",
    "delivery-failed": "A receiver of alerts does not accept them.",
    "disk-full": "Of the disk with the state or the cache, less than 5 % (at most 5 GiB) or less than 512 MiB is free.",
    "drifted": "Others have changed fields of objects on a cluster, which stay like that. Autoscalers do not count.",
    "exception-ends": "An exception of a policy ends within 7 days.",
    "fetch-failed": "A model that is not on this machine cannot be fetched.",
    "key-expires": "An API key ends within 7 days, or has ended within the last day.",
    "out-of-memory": "The memory of a replica was full within the last 10 minutes, and the kernel has killed it.",
    "revision-held": "A rollback holds a service at an earlier revision.",
    "rollout-failed": "An object of a service has failed on its cluster, or the API server refuses it.",
    "source-failed": "The directory, the repository or the bundle of the specs cannot be read.",
    "specs-rejected": "The current specs have errors, so they were not applied.",
    "unscheduled": "A pod of a service is not scheduled on any node.",
}


def alerts() -> str:
    """Return the sections of all rules."""
    from bateau.domain.alert_rules import RULES

    return "\n".join(line for rule in RULES for line in _section(rule))


def _section(rule: "Rule") -> Iterator[str]:
    from bateau.kit.quantity import format_seconds

    yield f"({rule.anchor})="
    yield f"## {rule.name}\n"
    lasts = f" It lasts for {format_seconds(rule.for_s)} before the alert fires." if rule.for_s else ""
    yield f"**{rule.severity}** {rule.summary.replace('{subject}', 'SERVICE')}.\n"
    yield f"Condition: {' '.join(_condition(rule))}{lasts}\n"
    yield f"Fix: {rule.description.replace('{subject}', 'SERVICE')}\n"


def _condition(rule: "Rule") -> Iterator[str]:
    from bateau.domain.alert_rules import Above, BurnRate, Fact, Fewer
    from bateau.kit.quantity import format_seconds

    match rule.when:
        case BurnRate() as when:
            windows = "; or ".join(_window(each) for each in when.windows)
            yield (
                f"the {'error budget' if when.objective == 'availability' else 'budget of slow answers'} is used up "
                f"{windows}. At least {when.bad_min:.0f} requests are bad in the long window."
            )
        case Above(per=None) as when:
            yield f"{when.measure.title.lower()}: {when.bound:g} or more in {format_seconds(when.window_s)}."
        case Above() as when:
            during = f" over {format_seconds(when.window_s)}" if when.window_s else ""
            yield f"{when.measure.title}{during}: {when.bound:.0%} or more of {_BOUNDS[str(when.per)]}.".replace(
                "%", " %"
            )
        case Fewer(none=True):
            yield "no replica is ready, although there should be some, and the model is not being fetched."
        case Fewer():
            yield "fewer replicas are ready than there should be."
        case Fact() as when:
            yield _FACTS[when.name]


def _window(window: "Window") -> str:
    from bateau.kit.quantity import format_seconds

    long, short = format_seconds(window.long_s), format_seconds(window.short_s)
    return f"{window.factor:g} times as fast as it may be, in the last {long} and in the last {short}"
