"""What a keeper offers: it keeps single replicas running, restarts and probes them, and reports how they are.

Used by runtimes.local, which decides which replicas there are. Satisfied by runtimes.local.keeper and by
testing.FakeKeeper.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import Replica


class Keeper(Protocol):
    """Keeps the replicas that it was given running until it is told to stop them."""

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a replica's condition has changed."""
        ...

    async def adopt(self) -> None:
        """Find what an earlier control plane left running, before the first `observe`. Raises ReplicaError."""
        ...

    def observe(self) -> Sequence[Replica]:
        """Return every replica, in the order of their ids. No I/O: what is known now."""
        ...

    async def start(self, replica_id: str, service: str, template: ProcessTemplate) -> None:
        """Make a replica. Returns once the process exists; readiness shows in `observe`. Raises ReplicaError."""
        ...

    def supply(self, templates: Iterable[ProcessTemplate]) -> None:
        """Give adopted replicas the values that are kept in memory only, from the templates of their revisions."""
        ...

    async def stop(self, replica_id: str) -> None:
        """End a replica: its stop signal, then SIGKILL after its stop timeout. Returns when nothing of it is left.

        Raises ReplicaError where a process cannot be ended.
        """
        ...

    async def metrics(self) -> Mapping[str, str | None]:
        """Return the Prometheus page of every replica that has one; None where it cannot be read."""
        ...

    def kill(self) -> None:
        """Send SIGKILL to every replica, without waiting."""
        ...

    async def close(self) -> None:
        """Let go of everything without stopping any replica."""
        ...
