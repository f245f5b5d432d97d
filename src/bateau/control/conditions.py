"""The status of a document in a cluster, by the conventions of the Kubernetes API.

Called by control.cluster_status and wiring.statuses. Pure. Source: "API Conventions" of Kubernetes, typical status
properties.

Invariant: what is not known is Unknown, never True. Held by tests/control/test_conditions.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bateau.control.declared import Declared
from bateau.control.rollout import service_state, troubles_of
from bateau.domain.change import object_name
from bateau.domain.replica import ReplicaState
from bateau.domain.status import ServiceState
from bateau.domain.workload import ServiceKey
from bateau.kit.json_value import JsonObject, ReadObject, array_at, is_object, text_at
from bateau.ports.runtime import Observed
from bateau.render.kubernetes.shape import selector_labels

_Truth = Literal["True", "False", "Unknown"]
_MESSAGE_MAX: Final = 2000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answers to three questions about a service, with one word for programs and one sentence for people."""

    ready: _Truth
    progressing: _Truth
    degraded: _Truth
    reason: str
    message: str


def verdict(key: str, declared: Declared | None, seen: Observed, *, trouble: str | None = None) -> Verdict:
    """Return how a service is. `trouble` is why its documents could not be read or rendered, if they could not."""
    if declared is None or trouble:
        return Verdict("Unknown", "Unknown", "Unknown", "NotReconciled", trouble or "it has not been checked yet")
    if says := declared.refused.get(key) or declared.wrong:
        return Verdict("False", "False", "True", "Refused", says)
    if says := declared.elsewhere.get(key):
        return Verdict("Unknown", "False", "False", "NotOnThisCluster", says)
    if seen.unknown:
        return Verdict("Unknown", "Unknown", "Unknown", "NotObserved", seen.unknown)
    says = troubles_of(seen).get(key)
    match service_state(seen, key):
        case ServiceState.READY | ServiceState.DONE if key not in seen.moving:
            return Verdict("True", "False", "True" if says else "False", "Healthy", says or _count(key, seen))
        case ServiceState.FAILED:
            return Verdict("False", "False", "True", "Failed", says or "its objects have failed")
        case ServiceState.DEGRADED:
            return Verdict("False", "True", "True", "Degraded", says or _waits(key, seen))
        case _:
            return Verdict("False", "True", "True" if says else "False", "Progressing", says or _waits(key, seen))


def status_of(
    key: ServiceKey, found: Verdict, seen: Observed, *, generation: int, before: ReadObject, now: str
) -> JsonObject:
    """Return the status of a service's document.

    `before` is its status until now; a condition keeps its time unless its truth changes. `now` is in RFC 3339.
    """
    replicas = [each for each in seen.replicas if each.service == key and not each.draining]
    old = {text_at(each, "type"): each for each in array_at(before, "conditions") if is_object(each)}
    truths: Mapping[str, _Truth] = {
        "Ready": found.ready,
        "Progressing": found.progressing,
        "Degraded": found.degraded,
    }
    return {
        "observedGeneration": generation,
        "replicas": len(replicas),
        "readyReplicas": sum(each.state is ReplicaState.READY for each in replicas),
        "selector": ",".join(f"{name}={value}" for name, value in selector_labels(key).items()),
        "conditions": [
            {
                "type": name,
                "status": truth,
                "observedGeneration": generation,
                "lastTransitionTime": _time(old.get(name), truth) or now,
                "reason": found.reason,
                "message": found.message[:_MESSAGE_MAX],
            }
            for name, truth in truths.items()
        ],
    }


def _time(before: JsonObject | None, truth: str) -> str:
    return text_at(before, "lastTransitionTime") if before and text_at(before, "status") == truth else ""


def _count(key: str, seen: Observed) -> str:
    replicas = [each for each in seen.replicas if each.service == key and not each.draining]
    ready = sum(each.state in (ReplicaState.READY, ReplicaState.DONE) for each in replicas)
    return f"{ready} of {len(replicas)} replicas are ready" if replicas else "every object is as it should be"


def _waits(key: str, seen: Observed) -> str:
    """Return what a service waits for: the first object that has not settled."""
    for each in seen.objects:
        if each.service == key and not each.settled:
            return f"{object_name(each.key)}: {each.says or each.phase}"
    return "its objects are being applied"
