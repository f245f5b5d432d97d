"""Roll units out with a runtime, once: apply them, and look until they are healthy, have failed, or time is up.

Called by cli.cluster_status, control.conditions and wiring.clusters. The loop of a control plane does the same for
good.

Invariant: a rollout that ends early changes nothing back: the applied objects stay, and their state is reported. Held
by tests/control/test_rollout.py.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bateau.domain.change import object_name
from bateau.domain.replica import ReplicaState
from bateau.domain.status import ServiceState
from bateau.domain.unit import Unit
from bateau.ports.clock import Clock
from bateau.ports.runtime import Observed, Runtime

# A trouble that passes by itself, such as a webhook that is starting, becomes a failure after so many seconds.
PATIENCE_S: Final = 30.0
_LOOK_S: Final = 1.0
_SITE: Final = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a rollout.

    `failed` has the reason for each service that is not healthy; `unknown` has why the site cannot be reached.
    """

    observed: Observed
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    unknown: str | None = None

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
) -> Outcome:
    """Apply `units` and wait for their health; `told` gets every new state. The runtime stays open."""
    changed = asyncio.Event()
    runtime.on_change(changed.set)
    await runtime.adopt()
    runtime.apply(units)
    ends_at = clock.monotonic() + timeout_s
    since: dict[str, float] = {}  # when the trouble of a service, or of the site, began
    while True:
        changed.clear()
        seen = runtime.observe()
        told(seen)
        now = clock.monotonic()
        troubles = troubles_of(seen)
        if not seen.moving and not troubles and seen.unknown is None:
            return Outcome(observed=seen)
        keys = [*troubles, *([_SITE] if seen.unknown else [])]
        since = {key: since.get(key, now) for key in keys}
        if now >= ends_at:
            late = {key: "it was not healthy in time" for key in seen.moving if key not in troubles}
            return Outcome(observed=seen, failed={**troubles, **late}, unknown=seen.unknown)
        if any(now - each >= PATIENCE_S for each in since.values()):
            return Outcome(observed=seen, failed=troubles, unknown=seen.unknown)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await changed.wait()


def service_state(seen: Observed, service: str) -> ServiceState:
    """Return the condition of a service in one word, from its objects and its replicas."""
    phases = {each.phase for each in seen.objects if each.service == service}
    states = [each.state for each in seen.replicas if each.service == service and not each.draining]
    if phases & {"failed", "refused"} or ReplicaState.FAILED in states:
        return ServiceState.FAILED
    if ReplicaState.BACKOFF in states or service in seen.moving:
        return ServiceState.DEGRADED if ReplicaState.READY in states else ServiceState.STARTING
    if states and all(each is ReplicaState.DONE for each in states):
        return ServiceState.DONE
    return ServiceState.READY


def troubles_of(seen: Observed) -> dict[str, str]:
    """Return why a service does not become healthy, by service key: of its objects first, then of its replicas."""
    found = dict(seen.failures)
    for each in seen.objects:
        if each.service and each.phase in ("refused", "failed"):
            found.setdefault(each.service, f"{object_name(each.key)}: {each.says}")
    for replica in seen.replicas:
        if replica.state in (ReplicaState.BACKOFF, ReplicaState.FAILED) and replica.service in seen.moving:
            found[replica.service] = f"{replica.id}: {replica.reason or replica.state.value}"
        elif replica.state is ReplicaState.STARTING and replica.reason and replica.service in seen.moving:
            found.setdefault(replica.service, f"{replica.id}: {replica.reason}")
    return found
