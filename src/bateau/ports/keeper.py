"""The port of a keeper, which keeps single replicas running: it restarts and probes them, and reports their state.

Used by runtimes.local, which decides which replicas exist. Satisfied by runtimes.local.keeper and by
testing.FakeKeeper.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import Replica


class Keeper(Protocol):
    """Keeps started replicas running until `stop`."""

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever the state of a replica has changed."""
        ...

    async def adopt(self) -> None:
        """Find the running replicas of an earlier control plane, before the first `observe`. Raises ReplicaError."""
        ...

    def observe(self) -> Sequence[Replica]:
        """Return the known state of every replica, ordered by id. Does no I/O."""
        ...

    def troubles(self) -> Sequence[str]:
        """Return problems of the machine itself, such as a full disk. Replicas continue."""
        ...

    async def start(self, replica_id: str, service: str, template: ProcessTemplate) -> None:
        """Start a replica. Returns once the process exists; `observe` shows readiness. Raises ReplicaError."""
        ...

    def supply(self, templates: Iterable[ProcessTemplate]) -> None:
        """Give adopted replicas the values that exist only in memory, from the templates of their revisions."""
        ...

    async def stop(self, replica_id: str) -> None:
        """Stop a replica: its stop signal, then SIGKILL after its stop timeout. Returns when its processes are gone.

        Raises ReplicaError if a process cannot be stopped.
        """
        ...

    async def metrics(self) -> Mapping[str, str | None]:
        """Return the Prometheus page of every replica that has one; None if it cannot be read."""
        ...

    def kill(self) -> None:
        """Send SIGKILL to every replica, without waiting."""
        ...

    async def close(self) -> None:
        """Release everything without stopping any replica."""
        ...
