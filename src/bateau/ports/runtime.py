"""What a runtime offers: units go in, and the state of their replicas is observed.

Used by control. Satisfied by runtimes.local.LocalRuntime and testing.FakeRuntime; one suite is run against all of them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bateau.domain.endpoint import Load
from bateau.domain.replica import Replica
from bateau.domain.unit import Unit


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What a runtime knows now.

    `replicas` are in the order of their ids. `failures` has, by service key, why something of it could not be started,
    stopped or applied; it is tried again. `moving` has the services that are on their way to another state.
    `seen_at` is in seconds of the monotonic clock. Where the site cannot be reached, `unknown` says why, and the
    rest is what was seen last.
    """

    replicas: Sequence[Replica] = ()
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
    moving: frozenset[str] = frozenset()
    seen_at: float = 0.0
    unknown: str | None = None


class Runtime(Protocol):
    """Keeps units running on one site. Rolling, surge, draining, readiness and restarts are its own."""

    name: str

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` from the event loop whenever what `observe` returns has changed, or work is due."""
        ...

    async def adopt(self) -> None:
        """Find what an earlier control plane left running, before the first `observe`. Raises ReplicaError."""
        ...

    def apply(self, units: Sequence[Unit], *, held: Collection[str] = ()) -> None:
        """Make `units` what runs. Does not wait.

        A service without a unit is drained and removed, unless its key is in `held`: then its replicas stay as they
        are. Applying the same units again changes nothing. What fails for one unit stops no other.
        """
        ...

    def note_load(self, load: Load | None) -> None:
        """Take the requests in flight that the planes see; None where they cannot tell, which is not 0."""
        ...

    def observe(self) -> Observed:
        """Return what is known now. Does no I/O."""
        ...

    async def metrics(self) -> Mapping[str, str | None]:
        """Return the Prometheus page of every replica that has one, by replica id; None where it cannot be read."""
        ...

    async def remove(self, services: Collection[str] | None = None) -> Mapping[str, str]:
        """Stop every replica of `services` (None: of all) without draining, and return when nothing of them is left.

        What cannot be stopped is returned by replica id with the reason; all others are stopped all the same.
        """
        ...

    def kill(self) -> None:
        """End every replica at once, without waiting: for a second Ctrl-C."""
        ...

    async def close(self) -> None:
        """Let go of everything without stopping any replica."""
        ...
