"""Whether an API server can be reached now, from the ends of all requests to it.

Called by runtimes.kubernetes.api, runtimes.kubernetes.requests, wiring.controller and wiring.controller_terms.

One failed connection says little: a replica of the API server may restart. Two in a row without an answer in between
say that the cluster is away, and so does one request that gets no answer in time.

Invariant: each change is reported once, and any answer ends it. Held by
tests/runtimes/kubernetes/test_reach.py::test_a_change_is_told_once_and_any_answer_ends_it.
"""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

_FAILURES: Final = 2
# A connection that is silent for so long is probed, and so often at this distance before it is given up.
_PROBES: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 2))


class Reach:
    """The state of the way to one API server, which all connections to it share.

    `unreachable` is the reason, None while it answers; `lasted_s` is how long the state before has lasted.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since = monotonic()
        self._failures = 0
        self._wakes: list[Callable[[], None]] = []
        self.unreachable: str | None = None
        self.lasted_s = 0.0

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever the API server can no longer be reached, and when it can again."""
        self._wakes.append(wake)

    def answered(self) -> None:
        """Note an answer of the API server, whatever it says."""
        self._failures = 0
        if self.unreachable is not None:
            self._become(None)

    def failed(self, says: str, *, is_sure: bool = False) -> None:
        """Note that a request got no answer. `is_sure`: it has waited for long enough to be one by itself."""
        self._failures += 1
        if self.unreachable is None and (is_sure or self._failures >= _FAILURES):
            self._become(says)

    def _become(self, unreachable: str | None) -> None:
        now = self._monotonic()
        self.unreachable, self.lasted_s, self._since = unreachable, now - self._since, now
        for wake in self._wakes:
            wake()


def kept_alive(address: tuple[Any, ...]) -> socket.socket:
    """Return a new socket for an address, as aiohttp has it. A watch on it ends 20 s after its peer has gone silently.

    A watch sends nothing, so that without probes it would wait for a peer that no longer knows it.
    """
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    with suppress(OSError, AttributeError):  # a platform without one of the options
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _PROBES:
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
