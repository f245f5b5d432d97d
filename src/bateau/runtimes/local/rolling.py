"""Compare the replicas that should exist with those that do, and return the next steps.

Called by runtimes.local.runtime. It is level-triggered: steps follow from the observed state and are never carried
over. Restarting dead processes is the keeper's work and not a step. Pure.

Invariant: a ready replica is drained only while as many others are ready as the service should have. If those fail
before it is stopped, it is kept. Held by tests/runtimes/test_rolling_properties.py.
Invariant: a replica is stopped only if it has no requests in flight, its drain timeout is over, or it never was ready.
Held by tests/runtimes/test_rolling_properties.py.
Invariant: while one revision replaces another, at most `max_surge` replicas run beyond those wanted, including draining
ones. Held by tests/runtimes/test_rolling_properties.py.
Refused: stopping all replicas before starting new ones; a surge costs the memory of one replica, but a gap loses
requests.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from bateau.domain.replica import Replica, ReplicaState
from bateau.runtimes.local.steps import Desired, Draining, Step

# Requests that are in flight at the start of a drain appear in the gateway's counts within this time.
SETTLE_S = 1.0


def next_steps(
    desired: Iterable[Desired], observed: Sequence[Replica], draining: Mapping[str, Draining]
) -> tuple[Step, ...]:
    """Return the steps that can be taken now. `draining` has the progress of each drain, by replica id."""
    wanted = {d.service: d for d in desired}
    present: dict[str, list[Replica]] = {service: [] for service in wanted}
    for replica in observed:
        present.setdefault(replica.service, []).append(replica)
    steps: list[Step] = []
    for service, replicas in sorted(present.items()):
        target = wanted.get(service) or Desired(
            service=service,
            revision="",
            replicas=0,
            drain_timeout_s=max(replica.drain_timeout_s for replica in replicas),
        )
        if not _is_there(target, replicas, draining):
            steps += _service(target, replicas, draining)
    return tuple(steps)


def _is_there(target: Desired, replicas: Sequence[Replica], draining: Mapping[str, Draining]) -> bool:
    """Whether a service has exactly the replicas that it should have, as nearly all services do at nearly all times."""
    return len(replicas) == target.replicas and all(
        each.revision == target.revision and each.state is not ReplicaState.STOPPING and each.id not in draining
        for each in replicas
    )


def _service(target: Desired, replicas: Sequence[Replica], draining: Mapping[str, Draining]) -> list[Step]:
    living = [r for r in replicas if r.state is not ReplicaState.STOPPING]
    # Replicas are kept in this order: ready ones first, then those that do not drain, then the lowest numbers.
    living.sort(key=lambda r: (r.state is not ReplicaState.READY, r.id in draining, replica_number(r.id)))
    current = [r for r in living if r.revision == target.revision]
    old = [r for r in living if r.revision != target.revision]
    keep, extra = current[: target.replicas], current[target.replicas :]
    steps = [
        Step(act="keep", service=target.service, replica=r.id, reason="wanted again") for r in keep if r.id in draining
    ]
    missing = _may_start(target, kept=len(keep), living=len(living), present=len(replicas))
    if missing > 0:
        why = "a new revision" if old else "scaled up" if current else "wanted"
        steps += [
            Step(act="start", service=target.service, replica=replica_id, reason=why)
            for replica_id in _free_ids(target.service, replicas, missing)
        ]
    may_leave = _may_leave(target, keep, (*extra, *old), draining)
    for replica in (*extra, *old):
        why = "an old revision" if replica in old and target.replicas else "no longer wanted"
        steps += _leave(target, replica, draining.get(replica.id), why, may_leave=replica.id in may_leave)
    return steps


def _may_start(target: Desired, *, kept: int, living: int, present: int) -> int:
    """Return how many replicas may be started now."""
    missing = target.replicas - kept
    if target.max_surge == 0:
        return missing if present == kept else 0
    return min(missing, target.replicas + target.max_surge - living)


def _may_leave(
    target: Desired, keep: Sequence[Replica], leaving: Sequence[Replica], draining: Mapping[str, Draining]
) -> set[str]:
    """Return the ready replicas that may leave because enough others are ready, starting with those that drain."""
    ready = [r for r in leaving if r.state is ReplicaState.READY]
    ready.sort(key=lambda r: r.id not in draining)
    enough = sum(r.state is ReplicaState.READY for r in keep) + len(ready) - target.replicas
    return {r.id for r in (ready[: max(0, enough)] if target.max_surge else ready)}


def _leave(target: Desired, replica: Replica, state: Draining | None, why: str, *, may_leave: bool) -> list[Step]:
    def step(act: Literal["drain", "keep", "stop"], reason: str) -> list[Step]:
        return [Step(act=act, service=target.service, replica=replica.id, reason=reason)]

    if replica.state is ReplicaState.READY and not may_leave:
        return step("keep", "its successor is not ready") if state else []
    if state is None:
        # A replica whose probes fail may still be answering requests.
        return step("drain" if replica.state in (ReplicaState.READY, ReplicaState.UNREADY) else "stop", why)
    if state.seconds >= target.drain_timeout_s and state.seconds >= SETTLE_S:
        return step("stop", f"{why}; its drain timeout is over")
    if state.in_flight == 0 and state.seconds >= SETTLE_S:
        return step("stop", f"{why}; no requests in flight")
    if replica.state in (ReplicaState.BACKOFF, ReplicaState.STARTING, ReplicaState.DONE, ReplicaState.FAILED):
        return step("stop", f"{why}; it died")
    return []


def replica_number(replica_id: str) -> int:
    """Return the number at the end of an id.

    >>> replica_number("model.chat.2")
    2
    """
    return int(replica_id.rpartition(".")[2])


def _free_ids(service: str, replicas: Sequence[Replica], count: int) -> list[str]:
    taken = {replica_number(replica.id) for replica in replicas}
    prefix = service.replace("/", ".")
    free = (number for number in range(len(taken) + count) if number not in taken)
    return [f"{prefix}.{next(free)}" for _ in range(count)]
