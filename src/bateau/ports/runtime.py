"""What a runtime offers: it keeps replicas running, restarts them, and says how they are.

Used by control; satisfied by runtimes.local.LocalRuntime and testing.FakeRuntime.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import Replica


class Runtime(Protocol):
    """Keeps the replicas it was told of running until it is told to stop them."""

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a replica's condition has changed."""
        ...

    async def adopt(self) -> None:
        """Find what an earlier control plane left running, before the first `observe`."""
        ...

    def observe(self) -> Sequence[Replica]:
        """Return every replica there is, in the order of their ids. No I/O: what is known now."""
        ...

    async def start(self, replica_id: str, service: str, template: ProcessTemplate) -> None:
        """Make a replica. Returns once the process exists; readiness shows in `observe`. Raises ReplicaError."""
        ...

    def supply(self, templates: Iterable[ProcessTemplate]) -> None:
        """Give adopted replicas the values that are kept in memory only, from the templates of their revisions."""
        ...

    async def stop(self, replica_id: str) -> None:
        """End a replica: SIGTERM, then SIGKILL after its stop timeout. Returns when nothing of it is left."""
        ...

    async def close(self) -> None:
        """Let go of everything without stopping any replica."""
        ...
