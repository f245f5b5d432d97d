"""Judge the health of a Kubernetes object from the object alone.

Called by runtimes.kubernetes. The rules are those of kstatus (sigs.k8s.io/cli-utils),
with one exception: an object of a third-party kind that says nothing about itself is "unknown", and not current.

Invariant: a missing status is unknown or in progress, never current. Held by
tests/kit/test_kstatus.py::test_an_object_that_says_nothing_is_unknown.
Refused: rules of one operator or another; its kind can have a rule in CEL.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bateau.kit.json_value import Json, JsonObject, ReadObject, array_at, object_at, text_at

State = Literal["current", "in progress", "failed", "terminating", "unknown"]


@dataclass(frozen=True, slots=True)
class Health:
    """The state of an object, and why, in words. `reason` is a CamelCase word, often that of a condition."""

    state: State
    says: str = ""
    reason: str = ""


CURRENT: Final = Health("current")


def health(tree: ReadObject) -> Health:
    """Return the health of an object as the API server returns it.

    >>> health({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}).state
    'current'
    >>> health({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}}).state
    'unknown'
    """
    if text_at(tree, "metadata", "deletionTimestamp"):
        waits = ", ".join(str(each) for each in array_at(tree, "metadata", "finalizers"))
        return Health("terminating", f"waits for finalizer {waits}" if waits else "is being deleted", "Terminating")
    generation, observed = _number(tree, "metadata", "generation"), _number(tree, "status", "observedGeneration")
    if observed is not None and generation is not None and observed < generation:
        return Health("in progress", "its controller has not seen the change yet", "LatestGenerationNotObserved")
    if _is(tree, "Stalled", "True"):
        return Health("failed", _message(tree, "Stalled"), "Stalled")
    if _is(tree, "Reconciling", "True"):
        return Health("in progress", _message(tree, "Reconciling"), "Reconciling")
    group = text_at(tree, "apiVersion").rpartition("/")[0]
    kind = text_at(tree, "kind")
    if rule := _RULES.get((group, kind)):
        return rule(tree)
    if _is_built_in(group) and not object_at(tree, "status"):
        return CURRENT
    return _by_conditions(tree)


def conditions(tree: ReadObject) -> Mapping[str, JsonObject]:
    """Return the conditions of an object by type."""
    return _by_type(array_at(tree, "status", "conditions"))


def _by_conditions(tree: ReadObject) -> Health:
    """Judge by the conditions that the API conventions name."""
    for kind in ("Ready", "Available", "Healthy", "Programmed", "Accepted"):
        match text_at(conditions(tree).get(kind, {}), "status"):
            case "True":
                return CURRENT
            case "False" | "Unknown":
                return Health("in progress", _message(tree, kind) or f"not {kind}", _reason(tree, kind))
            case _:
                continue
    if _is_built_in(text_at(tree, "apiVersion").rpartition("/")[0]):
        return CURRENT
    if array_at(tree, "status", "conditions") or _number(tree, "status", "observedGeneration") is not None:
        return Health("unknown", "its status has no condition Ready", "NoReadyCondition")
    return Health("unknown", "its status says nothing", "NoStatus")


def _deployment(tree: ReadObject) -> Health:
    if _reason(tree, "Progressing") == "ProgressDeadlineExceeded":
        return Health("failed", _message(tree, "Progressing"), "ProgressDeadlineExceeded")
    if _is(tree, "ReplicaFailure", "True"):
        return Health("failed", _message(tree, "ReplicaFailure"), _reason(tree, "ReplicaFailure"))
    wanted = _wanted(tree)
    status = object_at(tree, "status")
    if _number(tree, "status", "observedGeneration") is None:
        return Health("in progress", "its controller has not seen it yet", "LatestGenerationNotObserved")
    updated, every, ready = (_count(status, each) for each in ("updatedReplicas", "replicas", "availableReplicas"))
    if updated < wanted:
        return Health("in progress", f"{updated} of {wanted} replicas are of the new revision", "LessUpdated")
    if every > updated:
        return Health("in progress", f"{every - updated} replicas of the old revision still run", "ExtraPods")
    if ready < wanted:
        return Health("in progress", f"{ready} of {wanted} replicas are ready", "LessAvailable")
    return CURRENT


def _stateful_set(tree: ReadObject) -> Health:
    if text_at(tree, "spec", "updateStrategy", "type") == "OnDelete":
        return CURRENT
    wanted, status = _wanted(tree), object_at(tree, "status")
    every, ready, updated = (_count(status, each) for each in ("replicas", "readyReplicas", "updatedReplicas"))
    if every < wanted or ready < wanted:
        return Health("in progress", f"{ready} of {wanted} replicas are ready", "LessReady")
    if every > wanted:
        return Health("in progress", f"{every - wanted} replicas too many", "ExtraPods")
    partition = _number(tree, "spec", "updateStrategy", "rollingUpdate", "partition") or 0
    if updated < wanted - partition:
        return Health(
            "in progress", f"{updated} of {wanted - partition} replicas are of the new revision", "LessUpdated"
        )
    return CURRENT


def _daemon_set(tree: ReadObject) -> Health:
    status = object_at(tree, "status")
    if _number(tree, "status", "observedGeneration") is None:
        return Health("in progress", "its controller has not seen it yet", "LatestGenerationNotObserved")
    wanted = _count(status, "desiredNumberScheduled")
    for field, says in (
        ("currentNumberScheduled", "are scheduled"),
        ("updatedNumberScheduled", "are of the new revision"),
        ("numberReady", "are ready"),
    ):
        if (there := _count(status, field)) < wanted:
            return Health("in progress", f"{there} of {wanted} pods {says}", "LessReady")
    return CURRENT


def _replica_set(tree: ReadObject) -> Health:
    if _is(tree, "ReplicaFailure", "True"):
        return Health("failed", _message(tree, "ReplicaFailure"), _reason(tree, "ReplicaFailure"))
    wanted, ready = _wanted(tree), _count(object_at(tree, "status"), "readyReplicas")
    if _count(object_at(tree, "status"), "replicas") != wanted or ready < wanted:
        return Health("in progress", f"{ready} of {wanted} replicas are ready", "LessReady")
    return CURRENT


def _pod(tree: ReadObject) -> Health:
    match text_at(tree, "status", "phase"):
        case "Succeeded":
            return CURRENT
        case "Failed":
            return Health("failed", text_at(tree, "status", "message") or "the pod has failed", "PodFailed")
        case "Running" if _is(tree, "Ready", "True"):
            return CURRENT
        case _:
            scheduled = _message(tree, "PodScheduled") if _is(tree, "PodScheduled", "False") else ""
            says = scheduled or _message(tree, "Ready") or "the pod has not started"
            return Health("in progress", says, _reason(tree, "PodScheduled" if scheduled else "Ready"))


def _job(tree: ReadObject) -> Health:
    if _is(tree, "Failed", "True"):
        return Health("failed", _message(tree, "Failed"), _reason(tree, "Failed"))
    if _is(tree, "Complete", "True"):
        return CURRENT
    if _is(tree, "Suspended", "True"):
        return CURRENT
    # As kstatus: a Job that has started is current; its end may be hours away.
    started = text_at(tree, "status", "startTime")
    return CURRENT if started else Health("in progress", "the Job has not started", "JobNotStarted")


def _claim(tree: ReadObject) -> Health:
    phase = text_at(tree, "status", "phase")
    return CURRENT if phase == "Bound" else Health("in progress", f"the claim is {phase or 'not bound'}", "NotBound")


def _service(tree: ReadObject) -> Health:
    if text_at(tree, "spec", "type") == "LoadBalancer" and not array_at(tree, "status", "loadBalancer", "ingress"):
        return Health("in progress", "the load balancer has given no address yet", "NoLoadBalancer")
    return CURRENT


def _definition(tree: ReadObject) -> Health:
    if _is(tree, "NamesAccepted", "False"):
        return Health("failed", _message(tree, "NamesAccepted"), _reason(tree, "NamesAccepted"))
    if _is(tree, "Established", "True"):
        return CURRENT
    return Health("in progress", "the API server does not serve it yet", "NotEstablished")


def _namespace(tree: ReadObject) -> Health:
    phase = text_at(tree, "status", "phase")
    return CURRENT if phase in ("Active", "") else Health("terminating", "the namespace is being deleted", phase)


def _budget(tree: ReadObject) -> Health:
    if _number(tree, "status", "observedGeneration") is None:
        return Health("in progress", "its controller has not seen it yet", "LatestGenerationNotObserved")
    return CURRENT


def _autoscaler(tree: ReadObject) -> Health:
    if _is(tree, "AbleToScale", "False"):
        return Health("in progress", _message(tree, "AbleToScale"), _reason(tree, "AbleToScale"))
    # Whether it gets metrics depends on the cluster's metrics server and on nobody's change.
    return CURRENT


def _gateway(tree: ReadObject) -> Health:
    """Judge a Gateway of the Gateway API: its listeners say more than it does itself."""
    found = conditions(tree)
    if text_at(found.get("Accepted", {}), "status") in ("", "Unknown") or _is_old(found.get("Accepted"), tree):
        name = text_at(tree, "spec", "gatewayClassName")
        return Health("in progress", f"no controller has answered yet: is there a GatewayClass {name}?", "Pending")
    for listener in array_at(tree, "status", "listeners"):
        told = _by_type(array_at(listener, "conditions"))
        for kind in ("Accepted", "ResolvedRefs"):
            if text_at(told.get(kind, {}), "status") == "False":
                says = f"listener {text_at(listener, 'name')}: {_words(told[kind], kind)}"
                return Health("in progress", says, text_at(told[kind], "reason") or kind)
    for kind in ("Accepted", "Programmed"):
        if not _is(tree, kind, "True"):
            return Health("in progress", _message(tree, kind) or f"not {kind}", _reason(tree, kind) or kind)
    return CURRENT


def _route(tree: ReadObject) -> Health:
    """Judge a route of the Gateway API: its status has conditions for each of its Gateways."""
    answers = [(_parent(object_at(each, "parentRef"), tree), each) for each in array_at(tree, "status", "parents")]
    for each in array_at(tree, "spec", "parentRefs"):
        if (gateway := _parent(object_at(each), tree)) not in {name for name, _ in answers}:
            return Health("in progress", f"{gateway} has not answered yet: does it exist?", "NotAccepted")
    if not answers:
        return Health("in progress", "no Gateway has accepted it yet", "NotAccepted")
    for gateway, parent in answers:
        found = _by_type(array_at(parent, "conditions"))
        for kind in ("Accepted", "ResolvedRefs"):
            condition = found.get(kind, {})
            if _is_old(condition, tree):
                return Health("in progress", f"{gateway} has not seen the change yet", "NotAccepted")
            if text_at(condition, "status") != "True":
                reason = text_at(condition, "reason") or kind
                says = f"{gateway}: {_REFUSALS.get(reason) or _words(condition, kind)}"
                return Health("failed" if reason in _REFUSALS else "in progress", says, reason)
    return CURRENT


# A Gateway's final answers to a route: only a change of the one or the other changes them.
_REFUSALS: Final[Mapping[str, str]] = {
    "NoMatchingListenerHostname": "none of its listeners has a host name of the route",
    "NotAllowedByListeners": "none of its listeners admits the route; see their allowedRoutes",
    "NoMatchingParent": "it has no such listener or port",
}


def _parent(found: ReadObject, route: ReadObject) -> str:
    """Return the name of a route's Gateway, in words."""
    namespace = text_at(found, "namespace") or text_at(route, "metadata", "namespace")
    return f"{text_at(found, 'kind') or 'Gateway'} {f'{namespace}/' if namespace else ''}{text_at(found, 'name')}"


def _is_old(condition: ReadObject | None, tree: ReadObject) -> bool:
    """Whether a condition is of an earlier generation than the object."""
    observed = _number(condition or {}, "observedGeneration")
    return observed is not None and observed < (_number(tree, "metadata", "generation") or 0)


def _words(condition: ReadObject, kind: str) -> str:
    return text_at(condition, "message") or text_at(condition, "reason") or f"not {kind}"


def _by_type(found: Iterable[Json]) -> Mapping[str, JsonObject]:
    return {text_at(each, "type"): object_at(each) for each in found}


_GATEWAY_API: Final = "gateway.networking.k8s.io"
_RULES: Final[Mapping[tuple[str, str], Callable[[ReadObject], Health]]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("", "Pod"): _pod,
    ("batch", "Job"): _job,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("", "Namespace"): _namespace,
    ("policy", "PodDisruptionBudget"): _budget,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    (_GATEWAY_API, "Gateway"): _gateway,
    **{(_GATEWAY_API, kind): _route for kind in ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")},
}
_GROUPS: Final = frozenset(("", "apps", "batch", "autoscaling", "policy"))


def _is_built_in(group: str) -> bool:
    # "gateway.networking.k8s.io" has the suffix, and is third-party: its kinds come with CRDs.
    return group in _GROUPS or (group.endswith(".k8s.io") and not group.startswith("gateway."))


def _is(tree: ReadObject, condition: str, status: str) -> bool:
    return text_at(conditions(tree).get(condition, {}), "status") == status


def _message(tree: ReadObject, condition: str) -> str:
    found = conditions(tree).get(condition, {})
    return text_at(found, "message") or text_at(found, "reason")


def _reason(tree: ReadObject, condition: str) -> str:
    return text_at(conditions(tree).get(condition, {}), "reason")


def _number(tree: ReadObject, *path: str) -> int | None:
    found = object_at(tree, *path[:-1]).get(path[-1])
    return found if isinstance(found, int) else None


def _count(status: JsonObject, field: str) -> int:
    found = status.get(field)
    return found if isinstance(found, int) else 0


def _wanted(tree: ReadObject) -> int:
    wanted = _number(tree, "spec", "replicas")
    return 1 if wanted is None else wanted
