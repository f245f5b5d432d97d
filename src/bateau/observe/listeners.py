"""Find out where a port is listened on, for a message about a connection that was refused.

Called by observe.probes.
Source: proc_net(5), the table of `/proc/net/tcp`.

Invariant: addresses that cannot be read are left out, so an empty answer means nothing. Held by
tests/observe/test_listeners.py.
"""

import contextlib
import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path

_LISTENS = "0A"


def listeners(port: int) -> tuple[str, ...]:
    """Return the addresses of this machine on which a program listens on a TCP port, as "[::1]" or "10.0.0.5"."""
    return tuple(dict.fromkeys(address for table in ("tcp", "tcp6") for address in _listening(table, port)))


def _listening(table: str, port: int) -> Iterator[str]:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            address, _, number = fields[1].rpartition(":")
            if fields[3] == _LISTENS and int(number, 16) == port:
                yield _shown(address)


def _shown(address: str) -> str:
    """Return an address for people. The kernel prints words of four bytes in the order of the machine.

    >>> _shown("00000000000000000000000001000000") if sys.byteorder == "little" else "[::1]"
    '[::1]'
    """
    words = [int(address[place : place + 8], 16).to_bytes(4, sys.byteorder) for place in range(0, len(address), 8)]
    found = ipaddress.ip_address(b"".join(words))
    return f"[{found}]" if found.version == 6 else str(found)  # noqa: PLR2004 - of the protocol
