"""The port of an allocator of loopback ports.

Satisfied by runtimes.local.ports.LoopbackPorts; used by control for the ports of apps. One allocator serves replicas
and clients, so that neither gets a port of the other.
"""

from typing import Protocol


class PortNumbers(Protocol):
    """Loopback ports by owner."""

    def take(self, owner: str) -> int:
        """Return a free port, which is the owner's from now on. Raises ReplicaError if none is free."""
        ...

    def keep(self, owner: str, number: int) -> None:
        """Record that a port belongs to an owner already."""
        ...
