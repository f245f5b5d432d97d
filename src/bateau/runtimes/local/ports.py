"""Hand out loopback ports: each to one replica, and the same ones again when it restarts; or to the clients of an app.

Called by runtimes.local.instance and runtimes.local.keeper. control uses it through ports.numbers.

Invariant: two replicas never hold one port, and a port is handed out only when nothing listens on it.
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
    """The ports of one instance of Bateau; `seed` (its name) spreads the first ports of several instances."""

    def __init__(self, seed: str) -> None:
        self._owners: dict[int, str] = {}
        self._seed = seed

    def reserve(self, replica_id: str, ports: Mapping[str, int]) -> None:
        """Note the ports of an adopted replica, which listens on them already."""
        self._owners.update(dict.fromkeys(ports.values(), replica_id))

    def hand_out(self, replica_id: str, names: Sequence[str], *, preferred: Mapping[str, int]) -> dict[str, int]:
        """Return a free port for each name: the preferred one where it is free. Raises ReplicaError when none is."""
        self.release(replica_id)
        # All wishes first: a new port for one name must not be the one that the next name had.
        ports = {name: preferred[name] for name in names if name in preferred and self._is_free(preferred[name])}
        self.reserve(replica_id, ports)
        for name in names:
            if name not in ports:
                ports[name] = self._next_free()
                self._owners[ports[name]] = replica_id
        return ports

    def take(self, owner: str) -> int:
        """Return a port that nobody has. Raises ReplicaError when none is free."""
        port = self._next_free()
        self._owners[port] = owner
        return port

    def keep(self, owner: str, number: int) -> None:
        """Note that a port is the owner's already."""
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
            hint="see what listens there with `ss -ltn`",
        )

    def _is_free(self, port: int) -> bool:
        if port in self._owners:
            return False
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            # As servers do: connections of the last owner that linger in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                return False
        return True


def _range() -> tuple[int, int]:
    """Return our range of ports, cut where the kernel's range of outgoing connections begins (ip(7))."""
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        low = int(text.split()[0])
        if PORT_MIN < low <= PORT_MAX:
            return PORT_MIN, low - 1
    return PORT_MIN, PORT_MAX
