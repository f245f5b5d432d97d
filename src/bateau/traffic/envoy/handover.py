"""Send new connections to the proxy that takes over, before the one that leaves closes its listening sockets.

Called by traffic.envoy.plane. It runs when a proxy begins to drain. Both proxies listen on the same ports
(SO_REUSEPORT). A connection that the kernel has completed, but that a proxy has not accepted yet, is reset when that
proxy closes its socket; so the kernel is told first to choose the other proxy's sockets.
Source: socket(7), SO_ATTACH_REUSEPORT_CBPF. The program belongs to all sockets of a port, and any of them may set it.

Invariant: where steering is not possible, the handover goes on without it.
Refused: Envoy's hot restart. It passes its sockets on and loses no connection either, but the old Envoy then has no
admin interface, so nobody knows what is in flight on it, and it ends after a fixed time, whatever that cuts; and two
releases of Envoy need not be able to do it.
"""

import contextlib
import ctypes
import socket
import struct
import sys
from pathlib import Path

# How long a proxy has to accept what is in its queues, once nothing new comes to them.
SETTLE_S = 0.25

_SO_ATTACH_REUSEPORT_CBPF = 51  # asm-generic/socket.h
_BPF_RETURN_CONSTANT = 0x06  # BPF_RET | BPF_K of linux/bpf_common.h
_TCP_LISTEN = "0A"  # net/tcp_states.h, as in /proc/net/tcp


def steer(address: str, port: int, *, sockets: int) -> bool:
    """Have the kernel give new connections to the last `sockets` sockets that listen on a port.

    Sockets are numbered in the order in which they began to listen. The program chooses the first of the last ones; as
    the sockets before it close, its number comes to name none, and the kernel spreads connections over all again.
    Returns whether that was possible.
    """
    if not sys.platform.startswith("linux"):
        return False
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError):
        first = _listening(port, family) - sockets
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


def _listening(port: int, family: socket.AddressFamily) -> int:
    """Return how many sockets listen on a port."""
    table = Path("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp").read_text()
    found = 0
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        found += state == _TCP_LISTEN and int(local.rpartition(":")[2], 16) == port
    return found
