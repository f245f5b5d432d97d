"""Who hands out loopback ports. Satisfied by runtimes.local.ports.LoopbackPorts; used by control for the ports of apps.

One allocator serves replicas and clients alike, so that neither is given what the other has.
"""

from typing import Protocol


class PortNumbers(Protocol):
    """Loopback ports by owner."""

    def take(self, owner: str) -> int:
        """Return a free port, which is the owner's from now on. Raises ReplicaError where none is free."""
        ...

    def keep(self, owner: str, number: int) -> None:
        """Note that a port is the owner's already."""
        ...
