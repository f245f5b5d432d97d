"""Take the measures of all services every 15 seconds, and add them to the history.

Called by wiring.cluster_measures, wiring.measures and wiring.metrics.

The gateway's counters give requests, errors, latencies and the requests in flight; the ledger gives
tokens; pages of model servers give the requests that wait; /proc gives the memory and CPU time of replicas.

Invariant: counters that begin again, and sources that do not answer, give unknown values, and never wrong ones. Held by
tests/wiring/test_sampling.py.
Invariant: a source that fails is reported once, and the others are still measured. Held by
tests/wiring/test_sampling.py::test_a_source_that_fails_leaves_the_others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor
from typing import Final, Protocol, TypeVar

from bateau.domain import measures as m
from bateau.domain.promql import around
from bateau.domain.replica import Replica
from bateau.domain.status import ServiceStatus
from bateau.domain.workload import Workload
from bateau.observe.metrics import samples
from bateau.observe.sessions import Use, use_by_session
from bateau.ports.clock import Clock
from bateau.wiring.figures import (
    Counters,
    counters_of,
    have_begun_again,
    increase,
    more_in_buckets,
    percentile,
    routes_of,
)
from bateau.wiring.reported import ReportedEach

_LATE_S: Final = 4 * m.INTERVAL_S  # an increase over more than that is in no interval
_AFTER_S: Final = 0.05  # a timer that is early must not measure the interval before again
PAGE: Final = "/stats/prometheus?usedonly&filter=" + "bateau%5C.(requests|time_to_first_)|upstream_rq_active$"
_WAITING: Final = "llamacpp:requests_deferred"
_SHARE: Final = 0.95
_MS: Final = 1000.0
_GENERATION: Final = "#"
Row = dict[str, float]
T = TypeVar("T")


class Target(Protocol):
    """Takes points."""

    def add(self, when_s: float, values: Mapping[str, Mapping[str, float]]) -> None:
        """Add a point of all services."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The sources of all measures. Each may raise, or return None for an unknown value.

    `asked` returns the pages of the proxies, `replica_pages` those of replicas that have one. `tokens` returns the
    tokens of questions and of answers by model.
    """

    asked: Callable[[str], Awaitable[Sequence[str | None]]]
    replica_pages: Callable[[], Awaitable[Mapping[str, str | None]]]
    tokens: Callable[[], tuple[Mapping[str, int], Mapping[str, int]] | None]
    replicas: Callable[[], Sequence[Replica]]
    services: Callable[[], Sequence[Workload]]
    statuses: Callable[[], Sequence[ServiceStatus]]
    gateways: Callable[[], frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """Everything at one moment; None for unknown values. CPU time is by replica and process.

    `counters` are those of `gateways` at `counted_s`.
    """

    when_s: float
    replicas: Sequence[Replica]
    gateways: frozenset[tuple[str, int | None]]
    counters: Counters | None
    counted_s: float
    tokens: tuple[Mapping[str, int], Mapping[str, int]] | None
    cpu: Mapping[tuple[str, int], float | None]
    memory: Mapping[int, int | None]
    pages: Mapping[str, str | None]

    def with_counters_of(self, before: "_Look") -> "_Look":
        """Return this look with earlier counters, so that the next increase is that of both intervals."""
        return replace(self, counters=before.counters, gateways=before.gateways, counted_s=before.counted_s)


@dataclass(slots=True)
class Processes:
    """The CPU time that each service has used since the control plane began, and its memory now."""

    cpu_s: dict[str, float] = field(default_factory=dict[str, float])
    memory_bytes: dict[str, float] = field(default_factory=dict[str, float])


class Sampler:
    """Measures the services of one instance."""

    def __init__(self, clock: Clock, sources: Sources, target: Target) -> None:
        self._clock = clock
        self._sources = sources
        self._target = target
        self._before: _Look | None = None
        self._reports = ReportedEach("cannot be measured at the moment")
        self.processes = Processes()

    async def sample_on_time(self) -> None:
        """Wait for the end of an interval, and measure it."""
        await end_of_interval(self._clock)
        await self.sample()

    async def sample(self) -> None:
        """Measure everything now, as the end of an interval."""
        when_s = floor(self._clock.wall() / m.INTERVAL_S) * m.INTERVAL_S
        before = self._before
        if before and before.when_s == when_s:
            return
        look = await self._look(when_s)
        self._before = look.with_counters_of(before) if before and look.counters is None else look
        if before and not 0 < when_s - before.when_s <= _LATE_S:
            before = None
        workloads = {str(each.key): each for each in self._sources.services()}
        rows: dict[str, Row] = {}
        for each in self._sources.statuses():
            try:
                rows[each.service] = self._row(each, workloads.get(each.service), before, look)
            except Exception as error:  # noqa: BLE001 - it is reported, and the other services are measured
                self._reports.failed(each.service, error)
            else:
                self._reports.is_over(each.service)
        self._keep(rows)
        self._target.add(when_s, rows)

    async def _look(self, when_s: float) -> _Look:
        replicas = tuple(self._sources.replicas())
        proxies = self._sources.gateways()
        gateways = frozenset((each.id, each.pid) for each in replicas if each.service in proxies)
        pids = {each.pid: each.id for each in replicas if each.pid}
        counters, pages, tokens, uses = await asyncio.gather(
            self._tried("requests", self._counters()),
            self._tried("waiting requests", self._sources.replica_pages()),
            self._tried("tokens", _soon(self._sources.tokens)),
            self._tried("memory and CPU time", asyncio.to_thread(use_by_session, list(pids))),
        )
        used = {pid: (uses or {}).get(pid, Use()) for pid in pids}
        return _Look(
            when_s=when_s,
            replicas=replicas,
            gateways=gateways,
            counters=counters,
            counted_s=when_s,
            tokens=tokens,
            cpu={(name, pid): used[pid].cpu_s for pid, name in pids.items()},
            memory={pid: each.memory_bytes for pid, each in used.items()},
            pages=pages or {},
        )

    async def _counters(self) -> Counters | None:
        pages = await self._sources.asked(PAGE)
        known = [page for page in pages if page is not None]
        return counters_of(known) if len(known) == len(pages) else None

    async def _tried(self, name: str, work: Awaitable[T]) -> T | None:
        try:
            found = await work
        except Exception as error:  # noqa: BLE001 - it is reported, and the other sources are measured
            self._reports.failed(name, error)
            return None
        self._reports.is_over(name)
        return found

    def _row(self, status: ServiceStatus, workload: Workload | None, before: _Look | None, look: _Look) -> Row:
        service = status.service
        replicas = [each for each in look.replicas if each.service == service]
        row: Row = {}
        if status.has_replicas:
            row |= {m.REPLICAS_WANTED.name: status.replicas_wanted, m.REPLICAS_READY.name: status.replicas_ready}
        _put(row, m.MEMORY, _sum([look.memory.get(each.pid) for each in replicas if each.pid]))
        _put(row, m.WAITING, _waiting(look.pages, replicas))
        if before:
            _put(row, m.CPU, _cpu(before, look, replicas))
            row[m.RESTARTS.name] = _restarts(before, replicas)
        if workload and (routes := routes_of(workload)):
            _add_requests(row, routes, workload, before, look)
        if workload and workload.is_named_in_bodies:
            _add_tokens(row, workload.name, before, look)
        return row

    def _keep(self, rows: Mapping[str, Row]) -> None:
        for service, row in rows.items():
            used = self.processes.cpu_s.get(service, 0.0)
            self.processes.cpu_s[service] = used + row.get(m.CPU.name, 0.0)
        self.processes.memory_bytes = {
            service: row[m.MEMORY.name] for service, row in rows.items() if m.MEMORY.name in row
        }
        self.processes.cpu_s = {service: used for service, used in self.processes.cpu_s.items() if service in rows}


async def end_of_interval(clock: Clock) -> None:
    """Wait for the end of an interval. Intervals end at multiples of 15 seconds of the clock."""
    await asyncio.sleep(m.INTERVAL_S - clock.wall() % m.INTERVAL_S + _AFTER_S)


async def _soon(found: Callable[[], T]) -> T:
    return found()


def _put(row: Row, measure: m.Measure, value: float | None) -> None:
    if value is not None:
        row[measure.name] = value


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum; None if a value is not known."""
    known = [each for each in values if each is not None]
    return sum(known) if len(known) == len(values) else None


def _cpu(before: _Look, look: _Look, replicas: Sequence[Replica]) -> float | None:
    """Return the increase. A process that was not there before has used all its time since then."""
    found: list[float | None] = []
    for each in replicas:
        if each.pid:
            key = (each.id, each.pid)
            now, then = look.cpu.get(key), before.cpu.get(key, 0.0)
            found.append(None if now is None or then is None or now < then else now - then)
    return _sum(found)


def _restarts(before: _Look, replicas: Sequence[Replica]) -> float:
    """Return the increase. A replica that was not there before has restarted as often since then."""
    known = {each.id: each.restarts for each in before.replicas}
    return sum(max(0, each.restarts - known.get(each.id, 0)) for each in replicas)


def _waiting(pages: Mapping[str, str | None], replicas: Sequence[Replica]) -> float | None:
    found: list[float | None] = []
    for each in replicas:
        if each.id in pages:
            page = pages[each.id]
            found.append(
                None
                if page is None
                else next((float(value) for name, _, value in samples(page) if name == _WAITING), None)
            )
    return _sum(found) if found else None


def _add_requests(row: Row, routes: Sequence[str], workload: Workload, before: _Look | None, look: _Look) -> None:
    if look.counters is None:
        return
    row[m.ACTIVE.name] = sum(
        value for cluster, value in look.counters.active.items() if _service_of(cluster) == workload.key
    )
    if before is None or before.counters is None or before.gateways != look.gateways:
        return
    if look.when_s - before.counted_s > _LATE_S:
        return
    if have_begun_again(before.counters.requests, look.counters.requests):
        return
    then, now = before.counters, look.counters
    row[m.REQUESTS.name] = increase(then.requests, now.requests, routes)
    row[m.CLIENT_ERRORS.name] = increase(then.client_errors, now.client_errors, routes)
    row[m.SERVER_ERRORS.name] = increase(then.server_errors, now.server_errors, routes)
    buckets = {edge / _MS: count for edge, count in more_in_buckets(then, now, routes).items()}
    count = buckets.get(float("inf"), 0.0)
    row[m.ANSWERS.name] = count
    if (bound_s := workload.slo.latency_p95_s) is not None:
        lower, upper, share = around(bound_s)
        below = (1 - share) * buckets.get(lower, 0.0) + share * buckets.get(upper, 0.0)
        row[m.SLOW.name] = max(0.0, count - below)
    _put(row, m.LATENCY_P95, percentile(buckets, _SHARE))


def _service_of(cluster: str) -> str:
    """Return the service of a cluster.

    >>> _service_of("model/chat"), _service_of("model/chat#2"), _service_of("app/shop/http#3")
    ('model/chat', 'model/chat', 'app/shop')
    """
    return "/".join(cluster.partition(_GENERATION)[0].split("/")[:2])


def _add_tokens(row: Row, model: str, before: _Look | None, look: _Look) -> None:
    if before is None or before.tokens is None or look.tokens is None:
        return
    for measure, then, now in zip((m.INPUT_TOKENS, m.OUTPUT_TOKENS), before.tokens, look.tokens, strict=True):
        if not have_begun_again(then, now):
            row[measure.name] = increase(then, now, [model])
