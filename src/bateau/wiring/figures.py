"""Measure what each service does, while someone watches.

Called by cli.up, ui.page and wiring.

The gateway's counters give requests, errors and latencies; those of the ledger give tokens; the
processes of replicas, or the API server of a cluster, give memory and CPU.

Invariant: while nobody asks, nothing is measured. Held by
tests/wiring/test_figures.py::test_nothing_is_measured_while_nobody_asks.
Invariant: counters that begin again give unknown figures for a moment, and never wrong ones. Held by
tests/wiring/test_figures.py::test_counters_that_begin_again_give_no_figures.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bateau.domain.figures import Figures, ServiceFigures, Uses
from bateau.domain.replica import Replica
from bateau.domain.usage_counters import by_model
from bateau.domain.used import Sum
from bateau.domain.workload import Workload
from bateau.observe.metrics import samples
from bateau.observe.sessions import Use, use_by_session
from bateau.ports.clock import Clock
from bateau.wiring.cpu_use import CpuUse

if TYPE_CHECKING:
    from bateau.wiring.local import LocalPlatform

FRESH_S: Final = 2.0
WINDOW_S: Final = 30.0
MEMORY_S: Final = 10.0
_FILTER: Final = "bateau%5C.(requests|time_to_first_)"
_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_PERCENTILE: Final = 0.95
_BEGINNING: Final = "envoy_bateau_"
# A route is that of a model or of an app, so it is in one of them.
_LATENCIES: Final = tuple(f"{_BEGINNING}time_to_first_{what}_bucket" for what in ("token", "byte"))
_MS: Final = 1000.0
_MIB: Final = 2**20
_PLACES: Final = 2  # a hundredth of a core


@dataclass(frozen=True, slots=True)
class Counters:
    """All counters at one moment, by the name of a route or of a model. `tokens` is None where it is not known.

    `active` are the requests in flight, by the name of a cluster.
    """

    requests: Mapping[str, float] = field(default_factory=dict[str, float])
    errors: Mapping[str, float] = field(default_factory=dict[str, float])
    buckets: Mapping[str, Mapping[float, float]] = field(default_factory=dict[str, Mapping[float, float]])
    tokens: Mapping[str, int] | None = None
    uncounted: Mapping[str, int] = field(default_factory=dict[str, int])
    client_errors: Mapping[str, float] = field(default_factory=dict[str, float])
    server_errors: Mapping[str, float] = field(default_factory=dict[str, float])
    active: Mapping[str, float] = field(default_factory=dict[str, float])


def counters_of(texts: Sequence[str]) -> Counters:
    """Return the counters on the Prometheus pages of the gateway's proxies, summed."""
    requests, errors = defaultdict[str, float](float), defaultdict[str, float](float)
    client_errors, server_errors = defaultdict[str, float](float), defaultdict[str, float](float)
    active = defaultdict[str, float](float)
    buckets = defaultdict[str, defaultdict[float, float]](lambda: defaultdict(float))
    for text in texts:
        for name, labels, value in samples(text):
            route = labels.get("route", "")
            if name == f"{_BEGINNING}requests":
                code = int(labels.get("code") or 0)
                requests[route] += float(value)
                errors[route] += float(value) if code >= _ERROR else 0
                client_errors[route] += float(value) if _ERROR <= code < _SERVER_ERROR else 0
                server_errors[route] += float(value) if code >= _SERVER_ERROR else 0
            elif name == "envoy_cluster_upstream_rq_active":
                active[labels.get("envoy_cluster_name", "")] += float(value)
            elif name in _LATENCIES:
                buckets[route][float(labels["le"])] += float(value)
    return Counters(
        requests=requests,
        errors=errors,
        buckets=buckets,
        client_errors=client_errors,
        server_errors=server_errors,
        active=active,
    )


def routes_of(service: Workload) -> Sequence[str]:
    """Return the names under which the gateway counts the requests of a service; none if it has only TCP ports."""
    if service.is_named_in_bodies:
        return [service.name]
    return [f"{service.key}/{name}" for name, port in service.ports.items() if port.protocol != "tcp"]


def percentile(buckets: Mapping[float, float], share: float) -> float | None:
    """Return the value below which a share of the observations is, from cumulative buckets; None without any.

    >>> percentile({10.0: 0.0, 20.0: 10.0, float("inf"): 10.0}, 0.5)
    15.0
    """
    total, before, edge_before = buckets.get(float("inf"), 0.0), 0.0, 0.0
    if total <= 0:
        return None
    for edge, count in sorted(buckets.items()):
        if count >= share * total:
            if edge == float("inf"):
                return edge_before  # it is at least that
            return edge_before + (edge - edge_before) * (share * total - before) / (count - before)
        before, edge_before = count, edge
    return edge_before


class ServiceMeter:
    """Measures the services of one instance. `asked` returns the pages of the proxies, None for one without an answer.

    `used` returns the counters of the ledger: tokens of answers, and requests without them, by model; None while they
    are unknown.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        asked: Callable[[str], Awaitable[Sequence[str | None]]],
        used: Callable[[], tuple[Mapping[str, int], Mapping[str, int]] | None],
        replicas: Callable[[], Sequence[Replica]],
        services: Callable[[], Sequence[Workload]],
        uses: Callable[[], Awaitable[Uses]] | None = None,
    ) -> None:
        """`uses` measures memory and CPU; without it, those of the processes of replicas are measured."""
        self._clock = clock
        self._asked = asked
        self._used = used
        self._replicas = replicas
        self._services = services
        self._uses = uses
        self._unmeasured: str | None = None
        self._seen: deque[tuple[float, Counters]] = deque()
        self._memory: Mapping[str, int | None] = {}
        self._memory_at: float | None = None
        self._cpu = CpuUse(WINDOW_S)
        self._cores: Mapping[str, float | None] = {}
        self._latest = Figures()
        self._measured_at: float | None = None
        self._lock = asyncio.Lock()

    async def now(self) -> Figures:
        """Return the latest figures, which are measured again if they are older than two seconds."""
        async with self._lock:
            now = self._clock.monotonic()
            if self._measured_at is None or now - self._measured_at >= FRESH_S:
                await self._measure(now)
                self._measured_at = self._clock.monotonic()
            return self._latest

    async def _measure_use(self, now: float) -> None:
        if self._uses:
            found = await self._uses()
            self._unmeasured = found.unknown
            self._memory = {service: _to_mib(size) for service, size in found.memory_bytes.items()}
            self._cores = {service: round(cores, _PLACES) for service, cores in found.cpu_cores.items()}
            return
        replicas = self._replicas()
        memory = self._memory_at is None or now - self._memory_at >= MEMORY_S
        uses = await asyncio.to_thread(use_by_session, [each.pid for each in replicas if each.pid], memory=memory)
        if memory:
            self._memory, self._memory_at = _memory(replicas, uses), now
        self._cpu.add(now, replicas, {pid: each.cpu_s for pid, each in uses.items()})
        self._cores = self._cpu.cores()

    async def _measure(self, now: float) -> None:
        await self._measure_use(now)
        pages = await self._asked(f"/stats/prometheus?filter={_FILTER}")
        first, last = self._window(now, pages)
        services = {each.key: self._of(each, first, last) for each in self._services()}
        services |= {
            name: ServiceFigures(memory_bytes=self._memory.get(name), cpu_cores=self._cores.get(name))
            for name in {**self._memory, **self._cores}
            if name not in services
        }
        if (services, self._unmeasured) != (self._latest.services, self._latest.unmeasured):
            self._latest = Figures(number=self._latest.number + 1, services=services, unmeasured=self._unmeasured)

    def _window(
        self, now: float, pages: Sequence[str | None]
    ) -> tuple[tuple[float, Counters] | None, tuple[float, Counters] | None]:
        """Return the first and the last counters of the window; None while there are not two that belong together."""
        if any(page is None for page in pages):
            self._seen.clear()
            return None, None
        found = counters_of([page for page in pages if page is not None])
        tokens, uncounted = self._used() or (None, dict[str, int]())
        found = Counters(found.requests, found.errors, found.buckets, tokens, uncounted)
        if self._seen and _are_others(self._seen[-1][1], found):
            self._seen.clear()
        self._seen.append((now, found))
        while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW_S:  # noqa: PLR2004 - the first and the last
            self._seen.popleft()
        if len(self._seen) > 1 and now - self._seen[0][0] > 2 * WINDOW_S:
            self._seen = deque([self._seen[-1]])  # nobody has watched meanwhile
        return (self._seen[0], self._seen[-1]) if len(self._seen) > 1 else (None, None)

    def _of(
        self, each: Workload, first: tuple[float, Counters] | None, last: tuple[float, Counters] | None
    ) -> ServiceFigures:
        memory, cores = self._memory.get(each.key), self._cores.get(each.key)
        if first is None or last is None:
            return ServiceFigures(memory_bytes=memory, cpu_cores=cores)
        (began, before), (ended, after) = first, last
        seconds = ended - began
        routes = routes_of(each)
        requests = increase(before.requests, after.requests, routes)
        errors = increase(before.errors, after.errors, routes)
        tokens = missing = None
        if each.is_named_in_bodies and before.tokens is not None and after.tokens is not None:
            tokens = increase(before.tokens, after.tokens, routes) / seconds
            missing = increase(before.uncounted, after.uncounted, routes)
        return ServiceFigures(
            seconds=round(seconds, 1),
            requests_per_s=requests / seconds if routes else None,
            errors=errors / requests if requests else None,
            latency_s_p95=_latency(before, after, routes),
            tokens_per_s=tokens,
            tokens_missing=bool(missing),
            memory_bytes=memory,
            cpu_cores=cores,
        )


def meter_of(platform: "LocalPlatform") -> ServiceMeter:
    """Return the meter of an instance."""

    def used() -> tuple[Mapping[str, int], Mapping[str, int]] | None:
        counters = platform.accounts.counters
        sums = by_model(counters.shown) if counters.is_known else None
        return None if sums is None else answered(sums)

    return ServiceMeter(
        platform.clock,
        asked=platform.plane.ask,
        used=used,
        replicas=lambda: platform.control.observed.replicas,
        services=lambda: platform.control.release.services,
    )


def answered(sums: Mapping[str, Sum]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the tokens of answers, and the requests without tokens, by model."""
    return {name: each.tokens_out for name, each in sums.items()}, {name: each.uncounted for name, each in sums.items()}


def _latency(before: Counters, after: Counters, routes: Sequence[str]) -> float | None:
    found = percentile(more_in_buckets(before, after, routes), _PERCENTILE)
    return None if found is None else found / _MS


def more_in_buckets(before: Counters, after: Counters, routes: Sequence[str]) -> Mapping[float, float]:
    """Return the cumulative buckets of the latencies between two looks, of several routes together, by ms."""
    more = defaultdict[float, float](float)
    for route in routes:
        earlier = before.buckets.get(route, {})
        for edge, count in after.buckets.get(route, {}).items():
            more[edge] += count - earlier.get(edge, 0)
    return more


def increase(before: Mapping[str, float], after: Mapping[str, float], names: Sequence[str]) -> float:
    """Return the increase of several counters together."""
    return sum(after.get(name, 0) - before.get(name, 0) for name in names)


def _are_others(before: Counters, after: Counters) -> bool:
    requests = have_begun_again(before.requests, after.requests)
    return requests or have_begun_again(before.tokens or {}, after.tokens or {})


def have_begun_again(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    """Whether a counter is smaller than it was, or gone."""
    return any(after.get(name, 0) < value for name, value in before.items())


def _memory(replicas: Sequence[Replica], uses: Mapping[int, Use]) -> Mapping[str, int | None]:
    """Return the memory of each service: that of all its replicas that run."""
    found: dict[str, int | None] = {}
    for each in replicas:
        if each.pid:
            before, more = found.get(each.service, 0), uses[each.pid].memory_bytes
            found[each.service] = None if before is None or more is None else before + more
    return {service: None if size is None else _to_mib(size) for service, size in found.items()}


def _to_mib(size: int) -> int:
    """Return a number of bytes to a MiB, so that a page is not made again for a page of memory."""
    return _MIB * round(size / _MIB)
