"""Roll units out with a runtime, once: apply them in waves, until they are healthy, have failed, or time is up.

Called by cli.cluster_status, control.cluster_status, control.conditions and wiring. The loop of a control plane does
the same for good.

Invariant: a rollout that ends early changes nothing back: the applied objects stay, and their state is reported. Held
by tests/control/test_rollout.py.
Invariant: a wave is applied only if the one before is healthy, and nothing is removed before the last one. Held by
tests/control/test_rollout.py.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from bateau.control.waves import Wave, waves
from bateau.domain.change import object_name
from bateau.domain.object_state import ObjectState
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.status import ServiceState
from bateau.domain.unit import Unit
from bateau.ports.clock import Clock
from bateau.ports.runtime import Observed, Runtime

# A trouble that passes by itself, such as a webhook that is starting, becomes a failure after so many seconds.
PATIENCE_S: Final = 30.0
# A container without a probe is ready until it dies: replicas that were not ready before stay so for so many seconds.
STEADY_S: Final = 3.0
_LOOK_S: Final = 1.0
_SITE: Final = ""
_RUNS: Final = (ReplicaState.READY, ReplicaState.DONE)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a rollout.

    `failed` has the reason for each service that is not healthy; `unknown` has why the site cannot be reached.
    `not_applied` names the waves after the one that failed. `reports` has, by service, what its pods and the cluster
    say about a failure: lines of logs and events. `remarks` are for people, such as a history that cannot be written.
    """

    observed: Observed
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    unknown: str | None = None
    not_applied: Sequence[str] = ()
    reports: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    remarks: Sequence[str] = ()

    @property
    def done(self) -> bool:
        """Whether everything is healthy."""
        return not self.failed and self.unknown is None


async def roll_out(
    runtime: Runtime,
    units: Sequence[Unit],
    clock: Clock,
    *,
    timeout_s: float,
    told: Callable[[Observed], None],
    existing: Collection[str] = (),
    held: Collection[str] = (),
) -> Outcome:
    """Apply `units` wave by wave and wait for their health; `told` gets every new state. The runtime stays open.

    Nothing is removed before the last wave. `existing` are the services that run and may no longer be wanted; those in
    `held` are not changed.
    """
    changed = asyncio.Event()
    runtime.on_change(changed.set)
    await runtime.adopt()
    ends_at = clock.monotonic() + timeout_s
    steps = waves(units)
    kept = {*existing, *(unit.key for unit in units)}
    for number, wave in enumerate(steps, start=1):
        is_last = number == len(steps)
        runtime.apply(wave.units, held=held if is_last else kept)
        healthy = _is_whole if is_last else partial(_is_through, wave)
        whole = {unit.key: unit for unit in wave.units}
        later = frozenset(str(unit.key) for unit in units if whole.get(unit.key) is not unit)
        waiting = _Waiting(runtime, clock, changed, partial(_tell, told, later))
        outcome = await waiting.wait(healthy, ends_at)
        if not outcome.done or is_last:
            return replace(outcome, not_applied=[each.name for each in steps[number:]])
    raise AssertionError("there is always a last wave")


def _tell(told: Callable[[Observed], None], later: frozenset[str], seen: Observed) -> None:
    """Tell a state in which the services with objects in later waves are still changing."""
    told(replace(seen, moving=seen.moving | later) if later else seen)


def _is_whole(seen: Observed) -> bool:
    return not seen.moving and not troubles_of(seen)


def _is_through(wave: Wave, seen: Observed) -> bool:
    """Whether the objects of a wave exist, and those that the next one needs are healthy."""
    states = {each.key: each for each in seen.objects}
    there = (states.get(key) for key in wave.own)
    if any(each is None or each.phase in ("waiting", "refused") for each in there):
        return False
    return all(states[key].settled for key in wave.awaited)


@dataclass(frozen=True)
class _Waiting:
    """Waits for a state of a runtime."""

    runtime: Runtime
    clock: Clock
    changed: asyncio.Event
    told: Callable[[Observed], None]

    async def wait(self, healthy: Callable[[Observed], bool], ends_at: float) -> Outcome:
        """Return when the state is `healthy`, when a trouble does not pass, or at a time of the monotonic clock."""
        since: dict[str, float] = {}  # when the trouble of a service, or of the site, began
        began: set[str] = set()  # replicas that were not ready
        healthy_at: float | None = None
        while True:
            self.changed.clear()
            seen = self.runtime.observe()
            self.told(seen)
            now = self.clock.monotonic()
            began |= {each.id for each in seen.replicas if each.state not in _RUNS and not each.draining}
            if seen.unknown is None and healthy(seen):
                healthy_at = now if healthy_at is None else healthy_at
                if now - healthy_at >= STEADY_S or began.isdisjoint(each.id for each in seen.replicas):
                    return Outcome(observed=seen)
            else:
                healthy_at = None
            troubles = troubles_of(seen)
            keys = [*troubles, *([_SITE] if seen.unknown else [])]
            since = {key: since.get(key, now) for key in keys}
            if now >= ends_at:
                late = {key: _late(seen, key) for key in seen.moving if key not in troubles}
                return Outcome(observed=seen, failed={**troubles, **late}, unknown=seen.unknown)
            if any(now - each >= PATIENCE_S for each in since.values()):
                return Outcome(observed=seen, failed=troubles, unknown=seen.unknown)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self.changed.wait()


def _late(seen: Observed, service: str) -> str:
    """Return what a service that is not healthy in time waits for."""
    replica = next((each for each in seen.replicas if each.service == service and each.reason), None)
    if replica:
        return f"it was not healthy in time: {replica.id}: {replica.reason}"
    waits = (each for each in seen.objects if each.service == service and not each.settled and each.says)
    says = next((f": {object_name(each.key)}: {each.says}" for each in waits), "")
    return f"it was not healthy in time{says}"


def parts_of(seen: Observed) -> Mapping[str, Observed]:
    """Return the part of each service in an observation. Judging each by its part is linear in their number."""
    objects: dict[str, list[ObjectState]] = {}
    replicas: dict[str, list[Replica]] = {}
    for each in seen.objects:
        if each.service:
            objects.setdefault(each.service, []).append(each)
    for replica in seen.replicas:
        replicas.setdefault(replica.service, []).append(replica)
    return {
        key: replace(
            seen,
            objects=objects.get(key, ()),
            replicas=replicas.get(key, ()),
            failures={key: seen.failures[key]} if key in seen.failures else {},
            moving=seen.moving & {key},
        )
        for key in objects.keys() | replicas.keys() | seen.failures.keys() | seen.moving
    }


def service_state(seen: Observed, service: str) -> ServiceState:
    """Return the condition of a service in one word, from its objects and its replicas."""
    phases = {each.phase for each in seen.objects if each.service == service}
    states = [each.state for each in seen.replicas if each.service == service and not each.draining]
    if phases & {"failed", "refused"} or ReplicaState.FAILED in states:
        return ServiceState.FAILED
    if ReplicaState.BACKOFF in states and ReplicaState.READY in states:
        return ServiceState.DEGRADED
    if ReplicaState.BACKOFF in states or service in seen.moving:
        return ServiceState.STARTING
    if states and all(each is ReplicaState.DONE for each in states):
        return ServiceState.DONE
    return ServiceState.READY


def troubles_of(seen: Observed) -> dict[str, str]:
    """Return why a service does not become healthy, by service key: of its objects first, then of its replicas."""
    found = dict(seen.failures)
    for each in seen.objects:
        if each.service and each.phase in ("refused", "failed"):
            found.setdefault(each.service, f"{object_name(each.key)}: {each.says}")
    # A pod of an old revision may wait, too; it is about to be replaced.
    renewed = {each.service for each in seen.replicas if each.revision}
    for replica in seen.replicas:
        if not replica.revision and replica.service in renewed:
            continue
        if replica.state in (ReplicaState.BACKOFF, ReplicaState.FAILED) and replica.service in seen.moving:
            found[replica.service] = f"{replica.id}: {replica.reason or replica.state.value}"
        elif replica.state is ReplicaState.STARTING and replica.reason and replica.service in seen.moving:
            found.setdefault(replica.service, f"{replica.id}: {replica.reason}")
    return found
