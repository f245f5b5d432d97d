"""Measure the requests in flight, by asking every proxy while the traffic wants a load.

Called by traffic.envoy.plane.

Envoy lists the requests in flight by host, without those of clusters that it has replaced. It also counts the requests
of its clients. After a replacement the two are compared: while clients have more, some requests have unknown hosts.

Invariant: the load is known only if every proxy has answered after it had acknowledged the traffic that was published
last, and only if the hosts have all requests. Otherwise it is None, never 0. Held by tests/traffic/test_load.py and
tests/traffic/test_handover.py::test_what_is_in_flight_on_a_proxy_that_does_not_answer_is_unknown.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bateau.domain.endpoint import Load, Traffic
from bateau.ports.clock import Clock
from bateau.traffic.envoy.admin import EnvoyAdmin

_INTERVAL_S = 0.25
# Whether a model is idle need not be known as soon as whether a replica has drained.
_CALM_INTERVAL_S = 2.0


@dataclass(frozen=True, slots=True)
class Counts:
    """The requests in flight of one proxy: by replica, of its clients, and those that wait for a connection.

    `taken` counts the requests that each replica was ever sent.
    """

    hosts: Mapping[str, int]
    clients: int
    waiting: int
    taken: Mapping[str, int] = field(default_factory=dict[str, int])


class LoadMeter:
    """Polls the admin sockets of a traffic's proxies from one `follow` to the next, if the traffic wants a load.

    `may_ask` returns whether all proxies have acknowledged the traffic. `replacements` returns the number of the last
    replacement of a cluster in each proxy. `on_change` is called after each measurement.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        may_ask: Callable[[], bool],
        replacements: Callable[[], Mapping[str, int]],
        on_change: Callable[[], None],
    ) -> None:
        self.load: Load | None = None
        self._clock = clock
        self._may_ask = may_ask
        self._on_change = on_change
        self._replacements = replacements
        self._complete: dict[str, int] = {}  # the last replacement in each proxy after which the hosts had all requests
        self._polling: asyncio.Task[None] | None = None

    def follow(self, traffic: Traffic, admins: Mapping[str, Path]) -> None:
        """Forget the load, and measure that of `traffic` if it wants one. `admins` are the admin sockets by replica."""
        self.load = None
        if self._polling:
            self._polling.cancel()
            self._polling = None
        if traffic.wants_load:
            self._polling = asyncio.get_running_loop().create_task(self._poll(traffic, admins), name="gateway load")

    def has_accounted_for(self, replacements: Mapping[str, int]) -> bool:
        """Whether the hosts had all requests once since the last replacement of a cluster in each proxy."""
        return all(number == self._complete.get(proxy, 0) for proxy, number in replacements.items())

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
            before = self._replacements()
            found = await _in_flight(admins) if self._may_ask() else None
            known = found is not None and self._may_ask() and self._replacements() == before
            self.load = None
            if found is not None and known and self._has_all(found, before):
                taken = sum((Counter(counts.taken) for counts in found.values()), Counter[str]())
                self.load = Load(in_flight={**idle, **_together(found)}, seen_at=seen_at, taken=taken)
            self._on_change()
            calm = self.load is not None and not traffic.drains
            await asyncio.sleep(_CALM_INTERVAL_S if calm else _INTERVAL_S)

    def _has_all(self, found: Mapping[str, Counts], replacements: Mapping[str, int]) -> bool:
        """Whether the hosts have the requests of all clients, or had them once since the last replacement."""
        for proxy, counts in found.items():
            number = replacements.get(proxy, 0)
            if number == self._complete.get(proxy, 0):
                continue
            if counts.clients > counts.waiting + sum(counts.hosts.values()):
                return False
            self._complete[proxy] = number
        return True


async def _in_flight(admins: Mapping[str, Path]) -> Mapping[str, Counts] | None:
    """Return the counts of each proxy; None if any of them does not answer."""
    asked = [EnvoyAdmin(socket) for socket in admins.values()]
    hosts = await asyncio.gather(*(admin.upstream() for admin in asked))
    own = await asyncio.gather(*(admin.downstream_in_flight() for admin in asked))
    found: dict[str, Counts] = {}
    for proxy, of_hosts, of_clients in zip(admins, hosts, own, strict=True):
        if of_hosts is None or of_clients is None:
            return None
        clients, waiting = of_clients
        found[proxy] = Counts(of_hosts.in_flight, clients, waiting, of_hosts.taken)
    return found


def _together(found: Mapping[str, Counts]) -> Mapping[str, int]:
    """Return the requests in flight by replica, and by proxy."""
    totals: Counter[str] = Counter()
    for proxy, counts in found.items():
        totals[proxy] += counts.clients
        totals.update(counts.hosts)
    return totals
