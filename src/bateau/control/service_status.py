"""Turn the facts about one service into its status. Pure.

Called by control.cluster_status and control.status.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bateau.control.path import runs_here
from bateau.control.reach import Reached
from bateau.domain.model_file import ModelTask, Progress
from bateau.domain.placement import ModelCapacity
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.status import AffinityStatus, ServiceState, ServiceStatus
from bateau.domain.workload import External, ModelServer, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything beside its document that the status of a service depends on.

    `unit_revision` is the revision of its latest unit, and `revision` the same once it is of the current specs.
    `scaled` says why it has as many replicas as it has, if its number of replicas follows the load.
    """

    replicas: tuple[Replica, ...]
    unit_revision: str | None
    revision: str | None
    rejected: str | None
    blocked: str | None
    pulling: bool
    progress: Progress | None
    address: str | None
    capacity: ModelCapacity | None
    task: ModelTask | None
    rolled_out: bool
    reached: Reached | None
    asleep: bool = False
    scaled: str | None = None
    affinity: AffinityStatus | None = None


def service_status(service: Workload, facts: Facts) -> ServiceStatus:
    """Return the status of a service."""
    draining = draining_of(facts.replicas)
    staying = [replica for replica in facts.replicas if not replica.draining]
    state, reason = _condition(service, facts, staying)
    return ServiceStatus(
        service=service.key,
        state=state,
        reason=reason,
        replicas_wanted=0 if state is ServiceState.ELSEWHERE else service.replicas,
        replicas_ready=ready_count(staying),
        engine=engine_of(service),
        address=facts.address,
        capacity=facts.capacity,
        source=source_of(service),
        task=facts.task,
        pulled_bytes=facts.progress.bytes_done if facts.progress else None,
        pull_bytes_total=facts.progress.bytes_total if facts.progress else None,
        replicas=facts.replicas,
        draining=draining,
        rejected=facts.rejected,
        blocked=facts.blocked,
        rolled_out=facts.rolled_out and not facts.rejected,
        revision=facts.revision,
        affinity=facts.affinity,
    )


def _condition(service: Workload, facts: Facts, staying: Sequence[Replica]) -> tuple[ServiceState, str | None]:
    state, reason = state_of(staying, wanted=service.replicas)
    blocked = facts.blocked
    if isinstance(service.runs, External):
        return _external(facts.reached)
    if not runs_here(service):
        return ServiceState.ELSEWHERE, "runs on clusters only: it has no command for this machine"
    if facts.rejected:
        return ServiceState.DEGRADED, f"clients cannot reach it: {facts.rejected}"
    if blocked and ready_count(staying):
        return ServiceState.DEGRADED, f"the previous replicas continue to serve: {blocked}"
    if blocked:
        return ServiceState.FAILED, blocked
    if not ready_count(staying) and (waking := _waking(service, facts, state)):
        return waking
    if state is ServiceState.READY and (failing := _failing_revision(facts.unit_revision, staying)):
        return ServiceState.DEGRADED, f"the previous revision serves; the new one does not become ready: {failing}"
    return state, reason or (facts.scaled if state is ServiceState.READY else None)


def _waking(service: Workload, facts: Facts, state: ServiceState) -> tuple[ServiceState, str | None] | None:
    """Return the condition of a service that has no ready replica because it sleeps, or waits for its model."""
    if facts.asleep:
        return ServiceState.ASLEEP, facts.scaled
    if facts.pulling:
        return ServiceState.PULLING, None
    if state is ServiceState.STOPPED and service.scale:
        return ServiceState.STARTING, facts.scaled  # requests wait for it
    return None


def _external(reached: Reached | None) -> tuple[ServiceState, str | None]:
    if reached is None:
        return ServiceState.READY, "external endpoint; not probed"
    if not reached.known:
        return ServiceState.STARTING, "the first connection to the external endpoint is being made"
    if reached.failure:
        return ServiceState.DEGRADED, f"the external endpoint cannot be reached: {reached.failure}"
    return ServiceState.READY, "external endpoint; it accepts connections"


def _failing_revision(revision: str | None, replicas: Sequence[Replica]) -> str | None:
    """Return why a replica of the desired revision does not become ready, while another revision serves."""
    current = [each for each in replicas if each.revision == revision]
    return next((each.reason or "unknown" for each in current if each.state is ReplicaState.BACKOFF), None)


def source_of(service: Workload) -> str | None:
    """Return the source of the model, None for a service without a model."""
    match service.runs:
        case ModelServer(source=source) | External(url=source):
            return source
        case _:
            return None


def engine_of(service: Workload) -> str:
    """Return the name of the engine that serves it, in one word."""
    match service.runs:
        case ModelServer(engine=engine):
            return engine or "llama.cpp"
        case External():
            return "external"
        case _:
            return "process"


def state_of(replicas: Sequence[Replica], *, wanted: int) -> tuple[ServiceState, str | None]:
    """Return the state of a service with these replicas, and the reason."""
    ready = ready_count(replicas)
    done = sum(replica.state is ReplicaState.DONE for replica in replicas)
    if failed := next((each for each in replicas if each.state is ReplicaState.FAILED), None):
        return ServiceState.FAILED, f"{failed.reason}; it is not restarted"
    if done and done >= wanted:
        return ServiceState.DONE, None
    if wanted == 0:
        return ServiceState.STOPPED, "replicas: 0"
    troubled = next((r for r in replicas if r.reason and r.state is not ReplicaState.READY), None)
    reason = troubled.reason if troubled else None
    if ready + done >= wanted:
        return ServiceState.READY, None
    if any(r.state is ReplicaState.BACKOFF for r in replicas):
        return (ServiceState.DEGRADED if ready else ServiceState.FAILED), reason
    if any(r.state is ReplicaState.UNREADY for r in replicas):
        return ServiceState.DEGRADED, reason
    return ServiceState.STARTING, reason


def draining_of(replicas: Sequence[Replica]) -> tuple[str, ...]:
    """Return the ids of the replicas that drain."""
    return tuple(replica.id for replica in replicas if replica.draining)


def ready_count(replicas: Sequence[Replica]) -> int:
    """Return how many replicas are ready."""
    return sum(replica.state is ReplicaState.READY for replica in replicas)
