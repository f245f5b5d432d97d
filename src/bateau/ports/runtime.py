"""The port of a runtime: control applies units to it and observes the state of their replicas.

Used by control. Satisfied by runtimes.local.LocalRuntime, runtimes.kubernetes.KubernetesRuntime and
testing.FakeRuntime; one test suite covers all of them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bateau.domain.endpoint import PlaneState
from bateau.domain.object_state import ObjectState
from bateau.domain.replica import Replica
from bateau.domain.unit import Unit


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The state that a runtime has observed.

    `replicas` are ordered by id. `failures` has, by service key, the reason why a start, stop or change failed; it is
    retried. `moving` has the services that are changing to another state. `troubles` has problems of the site itself,
    such as a full disk; replicas continue. If the site cannot be reached, `unknown` has the reason, and the other
    fields have the last known state. `objects` are those of a cluster; a machine has none.
    """

    replicas: Sequence[Replica] = ()
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
    moving: frozenset[str] = frozenset()
    troubles: Sequence[str] = ()
    unknown: str | None = None
    objects: Sequence[ObjectState] = ()


class Runtime(Protocol):
    """Keeps units running on one site. It is responsible for rolling, surge, draining, readiness and restarts."""

    name: str

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` from the event loop whenever the result of `observe` has changed, or work is due."""
        ...

    async def adopt(self) -> None:
        """Find the running replicas of an earlier control plane, before the first `observe`. Raises ReplicaError."""
        ...

    def apply(self, units: Sequence[Unit], *, held: Collection[str] = ()) -> None:
        """Make `units` the desired state. Does not wait.

        A service without a unit is drained and removed, unless its key is in `held`: then its replicas are not changed.
        On a cluster, a held service with a unit keeps the objects that are not in its unit.
        Applying the same units again changes nothing. A failure of one unit does not affect the others.
        """
        ...

    def note_planes(self, state: PlaneState) -> None:
        """Take the state of the planes for the units that were applied last.

        If `state.accepted`, no proxy sends new requests to the replicas that drain. A load of None is unknown, not 0.
        """
        ...

    def observe(self) -> Observed:
        """Return the known state. Does no I/O."""
        ...

    async def metrics(self) -> Mapping[str, str | None]:
        """Return the Prometheus page of every replica that has one, by replica id; None if it cannot be read."""
        ...

    async def remove(self, services: Collection[str] | None = None) -> Mapping[str, str]:
        """Stop every replica of `services` (None: of all) without draining; return when their processes are gone.

        On a cluster their objects are removed, and pods have their grace period. Returns the reasons for the replicas
        and objects that could not be stopped or removed, by replica id or name; all others are gone.
        """
        ...

    def kill(self) -> None:
        """Kill every replica at once, without waiting: for a second Ctrl-C."""
        ...

    async def close(self) -> None:
        """Release everything without stopping any replica."""
        ...
