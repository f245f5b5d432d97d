"""Direct new connections to the proxy that takes over, before the draining proxy closes its listening sockets.

Called by traffic.envoy.plane. It runs when a proxy begins to drain. Both proxies listen on the same ports
(SO_REUSEPORT). The kernel completes a connection before a proxy accepts it. If the proxy closes its socket in between,
the connection is reset. So the kernel is first directed to choose only the sockets of the other proxy.
Source: socket(7), SO_ATTACH_REUSEPORT_CBPF. The program belongs to all sockets of a port, and any of them can set it.

Invariant: if steering is not possible, the handover continues without it. Held by
tests/traffic/test_handover.py::test_nothing_is_steered_where_nobody_else_listens.
Refused: Envoy's hot restart. It hands the sockets over and loses no connection either. But the old Envoy then has no
admin interface, so its requests in flight are unknown, and it ends after a fixed time. Two releases of Envoy may also
be unable to hand over to each other.
"""

import contextlib
import ctypes
import socket
import struct
import sys
from pathlib import Path

# How long a proxy has to accept the connections in its queues, after new ones go elsewhere.
SETTLE_S = 0.25

_SO_ATTACH_REUSEPORT_CBPF = 51  # asm-generic/socket.h
_BPF_RETURN_CONSTANT = 0x06  # BPF_RET | BPF_K of linux/bpf_common.h
_TCP_LISTEN = "0A"  # net/tcp_states.h, as in /proc/net/tcp


def steer(address: str, port: int, *, sockets: int) -> bool:
    """Give new connections to the last `sockets` sockets that listen on a port. Returns whether that was possible.

    The kernel numbers sockets in the order in which they began to listen. The program selects the first of the last
    ones. When all sockets before it have closed, no socket has that number, and the kernel balances over all again.
    """
    if not sys.platform.startswith("linux"):
        return False
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError):
        first = _listening(address, port, family) - sockets
        if first <= 0:
            return False
        program = ctypes.create_string_buffer(struct.pack("=HBBI", _BPF_RETURN_CONSTANT, 0, 0, first))
        with socket.socket(family) as member:
            member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            member.bind((address, port))
            member.listen(0)
            option = struct.pack("HL", 1, ctypes.addressof(program))
            member.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, option)
        return True
    return False


def _listening(address: str, port: int, family: socket.AddressFamily) -> int:
    """Return how many sockets listen on a port of an address."""
    packed = socket.inet_pton(family, address)
    # The table shows an address in words of 32 bits, each in the byte order of this machine.
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    wanted = f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"
    table = Path("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp").read_text()
    found = 0
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        found += state == _TCP_LISTEN and local == wanted
    return found
