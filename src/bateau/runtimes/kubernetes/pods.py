"""A pod as a replica: its state, and in words why it is not ready.

Called by runtimes.kubernetes. Pure. Sources: the
pod lifecycle of the Kubernetes documentation, the reasons that the kubelet and the scheduler set, and KEP-4742: since
Kubernetes 1.35 a pod has the zone of its node as a label, so that nobody needs the right to read nodes for it.

Refused: endpoints from EndpointSlices. They say what the watched pods say, with another watch in each namespace.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bateau.domain.replica import End, Replica, ReplicaState
from bateau.domain.system_names import ZONE_LABEL
from bateau.kit.json_value import Json, JsonObject, array_at, object_at, text_at
from bateau.kit.kstatus import conditions
from bateau.kit.rfc3339 import seconds_of
from bateau.runtimes.kubernetes.live import parent_of
from bateau.runtimes.kubernetes.reasons import image_words, readiness_words, scheduling_words, start_words

# Reasons of a waiting container with which it does not start by itself.
_STUCK: Final = frozenset(("CreateContainerConfigError", "CreateContainerError", "RunContainerError"))
_IMAGE: Final = frozenset(("ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"))
_KILLED: Final = 128


@dataclass(frozen=True, slots=True)
class Pod:
    """The summary of a pod. `since` is in seconds of the wall clock, `ports` maps names of ports to their numbers."""

    namespace: str
    name: str
    uid: str
    parent: str
    state: ReplicaState
    reason: str | None
    restarts: int
    since: float
    address: str
    ports: tuple[tuple[str, int], ...]
    node: str
    zone: str | None = None
    last_end: End | None = None


def pod(tree: JsonObject) -> Pod:
    """Return the summary of a pod."""
    state, reason = _state(tree)
    statuses = array_at(tree, "status", "containerStatuses")
    return Pod(
        namespace=text_at(tree, "metadata", "namespace"),
        name=text_at(tree, "metadata", "name"),
        uid=text_at(tree, "metadata", "uid"),
        parent=parent_of(tree),
        state=state,
        reason=reason,
        restarts=sum(_number(each, "restartCount") for each in statuses),
        since=_since(tree),
        address=text_at(tree, "status", "podIP"),
        ports=tuple(_ports(tree)),
        node=text_at(tree, "spec", "nodeName"),
        zone=text_at(tree, "metadata", "labels", ZONE_LABEL) or None,
        last_end=_last_end(statuses),
    )


def as_replica(service: str, pod: Pod, *, revision: str) -> Replica:
    """Return a pod as a replica of a service."""
    return Replica(
        id=f"{pod.namespace}/{pod.name}",
        service=service,
        revision=revision,
        state=pod.state,
        pid=None,
        addresses={name: f"{pod.address}:{number}" for name, number in pod.ports} if pod.address else {},
        zone=pod.zone,
        restarts=pod.restarts,
        since=pod.since,
        reason=pod.reason,
        last_end=pod.last_end,
        draining=pod.state is ReplicaState.STOPPING,
    )


def _state(tree: JsonObject) -> tuple[ReplicaState, str | None]:
    if text_at(tree, "metadata", "deletionTimestamp"):
        return ReplicaState.STOPPING, None
    match text_at(tree, "status", "phase"):
        case "Succeeded":
            return ReplicaState.DONE, None
        case "Failed":
            return ReplicaState.FAILED, text_at(tree, "status", "message") or text_at(tree, "status", "reason") or None
        case _:
            pass
    found = conditions(tree)
    if text_at(found.get("Ready", {}), "status") == "True":
        return ReplicaState.READY, None
    if text_at(found.get("PodScheduled", {}), "status") == "False":
        return ReplicaState.STARTING, f"not scheduled: {scheduling_words(text_at(found['PodScheduled'], 'message'))}"
    for each in (*array_at(tree, "status", "initContainerStatuses"), *array_at(tree, "status", "containerStatuses")):
        if told := _trouble(each):
            return told
    started = any(object_at({"": each}, "").get("started") is True for each in _containers(tree))
    if started:
        return ReplicaState.UNREADY, readiness_words(text_at(found.get("Ready", {}), "message")) or None
    return ReplicaState.STARTING, None


def _trouble(status: Json) -> tuple[ReplicaState, str] | None:
    """Return the state of a container that waits for a reason, or that has ended."""
    name = text_at(status, "name")
    waiting = object_at(status, "state", "waiting")
    reason, message = text_at(waiting, "reason"), text_at(waiting, "message")
    if reason == "CrashLoopBackOff":
        ended = _ended(object_at(status, "lastState", "terminated"))
        return ReplicaState.BACKOFF, f"{name} {ended or 'keeps ending'}, and waits for its next start"
    if reason in _IMAGE:
        return ReplicaState.BACKOFF, f"{name}: {image_words(text_at(status, 'image'), reason, message)}"
    if reason in _STUCK:
        return ReplicaState.BACKOFF, f"{name} cannot start: {start_words(message) or reason}"
    if ended := _ended(object_at(status, "state", "terminated")):
        return (ReplicaState.BACKOFF, f"{name} {ended}") if "code 0" not in ended else None
    return None


def _last_end(statuses: Iterable[Json]) -> End | None:
    """Return the latest end of a container that was not a success, as far as the pod tells."""
    found: list[End] = []
    for each in statuses:
        for state in ("state", "lastState"):
            terminated = object_at(each, state, "terminated")
            when_s = seconds_of(text_at(terminated, "finishedAt"))
            says = _ended(terminated)
            if when_s is not None and says and "code 0" not in says:
                found.append(End(when_s=when_s, says=f"{text_at(each, 'name')} {says}"))
    return max(found, key=lambda end: end.when_s, default=None)


def _ended(terminated: JsonObject) -> str:
    if not terminated:
        return ""
    reason, code = text_at(terminated, "reason"), _number(terminated, "exitCode")
    if reason == "OOMKilled":
        return "ran out of memory, and was killed"
    message = text_at(terminated, "message").strip()
    if reason == "StartError":
        return f"cannot start: {start_words(message)}"
    by = f"was ended by signal {code - _KILLED}" if code > _KILLED else f"ended with exit code {code}"
    return f"{by}: {message}" if message else by


def _containers(tree: JsonObject) -> list[Json]:
    return array_at(tree, "status", "containerStatuses")


def _ports(tree: JsonObject) -> Iterator[tuple[str, int]]:
    for container in array_at(tree, "spec", "containers"):
        for port in array_at(container, "ports"):
            yield text_at(port, "name") or str(_number(port, "containerPort")), _number(port, "containerPort")


def _since(tree: JsonObject) -> float:
    told = text_at(tree, "status", "startTime") or text_at(tree, "metadata", "creationTimestamp")
    try:
        return datetime.fromisoformat(told).timestamp()
    except ValueError:
        return 0.0


def _number(tree: Json, field: str) -> int:
    found = object_at({"": tree}, "").get(field)
    return found if isinstance(found, int) else 0
