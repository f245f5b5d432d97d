"""Measure the requests in flight, by asking every proxy while the traffic wants a load.

Called by traffic.envoy.plane.

Invariant: the load is known only if every proxy has answered after it had acknowledged the traffic that was published
last. Otherwise it is None, never 0. Held by tests/traffic/test_load.py and
tests/traffic/test_handover.py::test_what_is_in_flight_on_a_proxy_that_does_not_answer_is_unknown.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from bateau.domain.endpoint import Load, Traffic
from bateau.ports.clock import Clock
from bateau.traffic.envoy.admin import EnvoyAdmin

_INTERVAL_S = 0.25


class LoadMeter:
    """Polls the admin sockets of a traffic's proxies from one `follow` to the next, if the traffic wants a load.

    `may_ask` returns whether all proxies have acknowledged the traffic. `on_change` is called after each measurement.
    """

    def __init__(self, clock: Clock, *, may_ask: Callable[[], bool], on_change: Callable[[], None]) -> None:
        self.load: Load | None = None
        self._clock = clock
        self._may_ask = may_ask
        self._on_change = on_change
        self._polling: asyncio.Task[None] | None = None

    def follow(self, traffic: Traffic, admins: Mapping[str, Path]) -> None:
        """Forget the load, and measure that of `traffic` if it wants one. `admins` are the admin sockets by replica."""
        self.load = None
        if self._polling:
            self._polling.cancel()
            self._polling = None
        if traffic.wants_load:
            self._polling = asyncio.get_running_loop().create_task(self._poll(traffic, admins), name="gateway load")

    async def close(self) -> None:
        """Stop polling."""
        if self._polling:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling

    async def _poll(self, traffic: Traffic, admins: Mapping[str, Path]) -> None:
        idle = dict.fromkeys((e.replica for backend in traffic.backends for e in backend.endpoints), 0)
        while True:
            seen_at = self._clock.monotonic()
            counts = await _in_flight(admins) if self._may_ask() else None
            known = counts is not None and self._may_ask()
            self.load = Load(in_flight={**idle, **counts}, seen_at=seen_at) if counts is not None and known else None
            self._on_change()
            await asyncio.sleep(_INTERVAL_S)


async def _in_flight(admins: Mapping[str, Path]) -> Mapping[str, int] | None:
    """Return requests in flight by replica and by proxy; None if any proxy does not answer."""
    asked = [EnvoyAdmin(socket) for socket in admins.values()]
    upstream = await asyncio.gather(*(admin.upstream_in_flight() for admin in asked))
    downstream = await asyncio.gather(*(admin.downstream_in_flight() for admin in asked))
    found: dict[str, int] = {}
    for replica, counts, own in zip(admins, upstream, downstream, strict=True):
        if counts is None or own is None:
            return None
        found[replica] = own
        for name, count in counts.items():
            found[name] = found.get(name, 0) + count
    return found
