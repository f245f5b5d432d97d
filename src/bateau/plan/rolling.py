"""Compare the replicas that shall be with those that are, and say what to do next.

Called by control.path at every turn of the loop: level-triggered, so a plan is made anew from what is there and never
carried over. Restarting what died is the engine's work and no step.

Invariant: a ready replica is only drained while as many others are ready as the service shall have.
Invariant: a replica is stopped only when it has nothing in flight, or its drain timeout is over, or it never was ready.
Refused: stopping all and starting anew; the surge costs memory for one replica, a gap costs requests.
"""

from collections.abc import Iterable, Mapping, Sequence

from bateau.domain.plan import Desired, Draining, Plan, Step
from bateau.domain.replica import Replica, ReplicaState

# What was in flight when the gateway was told has had this long to show up in its counts.
SETTLE_S = 1.0


def plan(desired: Iterable[Desired], observed: Sequence[Replica], draining: Mapping[str, Draining]) -> Plan:
    """Return the steps that can be taken now. `draining` maps ids of replicas that drain to how far they are."""
    wanted = {d.service: d for d in desired}
    present: dict[str, list[Replica]] = {service: [] for service in wanted}
    for replica in observed:
        present.setdefault(replica.service, []).append(replica)
    steps: list[Step] = []
    for service, replicas in sorted(present.items()):
        target = wanted.get(service) or Desired(
            service=service, revision="", replicas=0, drain_timeout_s=_gone(replicas)
        )
        steps += _service(target, replicas, draining)
    return Plan(steps=tuple(steps))


def _service(target: Desired, replicas: Sequence[Replica], draining: Mapping[str, Draining]) -> list[Step]:
    current = [r for r in replicas if r.revision == target.revision and r.state is not ReplicaState.STOPPING]
    old = [r for r in replicas if r.revision != target.revision and r.state is not ReplicaState.STOPPING]
    # Those that do not drain stay first, then the ready ones, then the lowest number.
    current.sort(key=lambda r: (r.id in draining, r.state is not ReplicaState.READY, replica_number(r.id)))
    keep, extra = current[: target.replicas], current[target.replicas :]
    steps = [
        Step(act="keep", service=target.service, replica=r.id, reason="wanted again") for r in keep if r.id in draining
    ]
    missing = target.replicas - len(keep)
    blocked = not target.surge and any(r.id for r in (*old, *extra))
    if missing > 0 and not blocked and not any(r.state is ReplicaState.STOPPING for r in replicas if not target.surge):
        why = "a new revision" if old else "scaled up" if current else "wanted"
        steps += [
            Step(act="start", service=target.service, replica=replica_id, reason=why)
            for replica_id in _free_ids(target.service, replicas, missing)
        ]
    ready_kept = sum(r.state is ReplicaState.READY for r in keep)
    ready_leaving = [r for r in (*extra, *old) if r.state is ReplicaState.READY and r.id not in draining]
    # How many ready ones may go while enough others are ready.
    may_go = len(ready_leaving) if not target.surge else max(0, ready_kept + len(ready_leaving) - target.replicas)
    for replica in (*extra, *old):
        why = "an old revision" if replica in old and target.replicas else "not wanted any more"
        if replica.id in draining:
            steps += _stop_when_drained(target, replica, draining[replica.id], why)
        elif replica.state is not ReplicaState.READY:
            steps.append(Step(act="stop", service=target.service, replica=replica.id, reason=why))
        elif may_go:
            may_go -= 1
            steps.append(Step(act="drain", service=target.service, replica=replica.id, reason=why))
    return steps


def _stop_when_drained(target: Desired, replica: Replica, state: Draining, why: str) -> list[Step]:
    if state.seconds >= target.drain_timeout_s and state.seconds >= SETTLE_S:
        reason = f"{why}; its drain timeout is over"
    elif state.in_flight == 0 and state.seconds >= SETTLE_S:
        reason = f"{why}; nothing in flight"
    elif replica.state in (ReplicaState.BACKOFF, ReplicaState.STARTING):
        reason = f"{why}; it died"
    else:
        return []
    return [Step(act="stop", service=target.service, replica=replica.id, reason=reason)]


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


def _gone(replicas: Sequence[Replica]) -> float:
    """A service that no document names any more drains as long as the defaults say."""
    return 600.0 if any(r.service.startswith("model/") for r in replicas) else 30.0
