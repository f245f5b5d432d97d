"""Hand out loopback ports to replicas, which keep them across restarts, and to the clients of apps.

Called by runtimes.local.instance and runtimes.local.keeper. control uses it through ports.numbers.

Invariant: no two replicas hold the same port, and a port is handed out only if no process listens on it. Held by
tests/runtimes/test_handing_out_ports.py.
Refused: asking the kernel for port 0; such a port lies in the range of outgoing connections, where any client on the
machine may take it before the replica listens, or while it restarts.
"""

import contextlib
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

from bateau.domain.errors import ReplicaError

LOOPBACK = "127.0.0.1"
PORT_MIN = 20000
PORT_MAX = 32767


class LoopbackPorts:
    """The ports of one instance of Bateau. `seed`, the instance's name, gives each instance other first ports."""

    def __init__(self, seed: str) -> None:
        self._owners: dict[int, str] = {}
        self._seed = seed

    def reserve(self, replica_id: str, ports: Mapping[str, int]) -> None:
        """Record the ports of an adopted replica, which already listens on them."""
        self._owners.update(dict.fromkeys(ports.values(), replica_id))

    def hand_out(self, replica_id: str, names: Sequence[str], *, preferred: Mapping[str, int]) -> dict[str, int]:
        """Return a free port for each name, the preferred one if possible. Raises ReplicaError if no port is free."""
        self.release(replica_id)
        # Preferred ports first: a new port for one name must not be the preferred port of the next name.
        ports = {name: preferred[name] for name in names if name in preferred and self._is_free(preferred[name])}
        self.reserve(replica_id, ports)
        for name in names:
            if name not in ports:
                ports[name] = self._next_free()
                self._owners[ports[name]] = replica_id
        return ports

    def take(self, owner: str) -> int:
        """Return a free port, which now belongs to `owner`. Raises ReplicaError if no port is free."""
        port = self._next_free()
        self._owners[port] = owner
        return port

    def keep(self, owner: str, number: int) -> None:
        """Record that a port already belongs to the owner."""
        self._owners[number] = owner

    def release(self, replica_id: str) -> None:
        """Take back all ports of a replica."""
        self._owners = {port: owner for port, owner in self._owners.items() if owner != replica_id}

    def _next_free(self) -> int:
        low, high = _range()
        size = high - low + 1
        first = crc32(self._seed.encode()) % size
        for step in range(size):
            port = low + (first + step) % size
            if self._is_free(port):
                return port
        raise ReplicaError(
            f"no loopback port between {low} and {high} is free",
            hint="list the listening processes with `ss -ltnp`, and stop some",
        )

    def _is_free(self, port: int) -> bool:
        if port in self._owners:
            return False
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            # Like servers, ignore connections of the last owner that linger in TIME_WAIT.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                return False
        return True


def _range() -> tuple[int, int]:
    """Return Bateau's range of ports, which ends before the kernel's range of outgoing connections. Source: ip(7)."""
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        low = int(text.split()[0])
        if PORT_MIN < low <= PORT_MAX:
            return PORT_MIN, low - 1
    return PORT_MIN, PORT_MAX
