"""The history of measures of a cluster: replicas as its controller knows them, requests and tokens as the gateways do.

Called by cli.controller and ui.reports.

Memory and CPU are those of metrics.k8s.io, where the cluster serves it. That has no counter of CPU time, but the cores
that a pod has used in the last seconds: the CPU time of an interval is that times its length.

Invariant: what the controller does not know is not in the history, not even as 0. Held by
tests/wiring/test_cluster_measures.py::test_what_a_controller_does_not_know_is_not_in_its_history.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bateau.domain import measures as m
from bateau.domain.figures import Uses
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.status import ServiceState, ServiceStatus
from bateau.ports.clock import Clock
from bateau.store.measure_writer import MeasureWriter
from bateau.wiring.charts import ChartReports
from bateau.wiring.cluster_view import ClusterView
from bateau.wiring.measures import measures_path
from bateau.wiring.paths import Paths
from bateau.wiring.sampling import PAGE, Sampler, Sources, end_of_interval
from bateau.wiring.sparklines import SparklineReports

logger = logging.getLogger(__name__)

SERVICES_MAX: Final = 2000  # their history takes about 50 MB of memory, and 20 ms of CPU for each interval
_GATEWAY: Final = "gateway/envoy"
# The sampler finds those of processes here.
_NOT_KNOWN: Final = frozenset(each.name for each in (m.ACTIVE, m.CPU, m.MEMORY, m.WAITING))


class ClusterMeasured:
    """The history of the services of a view, what writes it, and its charts and sparklines."""

    def __init__(self, view: ClusterView, where: Paths, clock: Clock) -> None:
        self._view = view
        self._clock = clock
        self._pages: Sequence[str | None] = ()
        self._uses = Uses()
        self.history = MeasureWriter(measures_path(where), clock.wall)
        sources = Sources(
            asked=self._asked,
            replica_pages=_none,
            tokens=lambda: view.used,
            replicas=self._replicas,
            services=lambda: view.release.services,
            statuses=self._statuses,
            gateways=lambda: frozenset((_GATEWAY,)),
        )
        self._sampler = Sampler(clock, sources, _Known(self.history, lambda: self._uses))
        self.charts = ChartReports(self.history, clock, services=lambda: view.release.services)
        self.sparklines = SparklineReports(self.history, clock, services=lambda: view.release.services)

    async def sample_on_time(self) -> None:
        """Wait for the end of an interval, and measure it."""
        await end_of_interval(self._clock)
        await self.sample()

    async def sample(self) -> None:
        """Measure everything now. The pages come first: what they say of gateways and tokens is of one moment."""
        self._pages, self._uses = await asyncio.gather(self._view.pages(PAGE), self._view.uses.now())
        await self._sampler.sample()

    def close(self) -> None:
        """Write what waits."""
        self.history.close()

    async def _asked(self, _path: str) -> Sequence[str | None]:
        # A cluster without gateways has no requests, as far as anybody knows.
        return self._pages or (None,)

    def _replicas(self) -> Sequence[Replica]:
        """Return the pods, and the gateways, so that counters of other gateways are not compared."""
        return [*self._view.pods(), *map(_gateway, self._view.addresses)]

    def _statuses(self) -> Sequence[ServiceStatus]:
        latest = self._view.snapshots.latest
        return [each for each in latest.services if each.state is not ServiceState.UNKNOWN] if latest else ()


class _Known:
    """Takes points, with the use of pods instead of that of processes. A cluster with too many services has none."""

    def __init__(self, history: MeasureWriter, uses: Callable[[], Uses]) -> None:
        self._history = history
        self._uses = uses
        self._is_full = False

    def add(self, when_s: float, values: Mapping[str, Mapping[str, float]]) -> None:
        """Add a point of all services."""
        was_full, self._is_full = self._is_full, len(values) > SERVICES_MAX
        if self._is_full:
            if not was_full:
                logger.warning("no history is kept: the cluster has more than %d services", SERVICES_MAX)
            return
        uses = self._uses()
        rows = {
            service: {name: value for name, value in row.items() if name not in _NOT_KNOWN} | _use(uses, service)
            for service, row in values.items()
        }
        self._history.add(when_s, rows)


async def _none() -> Mapping[str, str | None]:
    return {}


def _use(uses: Uses, service: str) -> dict[str, float]:
    found: dict[str, float] = {}
    if service in uses.memory_bytes:
        found[m.MEMORY.name] = uses.memory_bytes[service]
    if service in uses.cpu_cores:
        found[m.CPU.name] = uses.cpu_cores[service] * m.INTERVAL_S
    return found


def _gateway(address: str) -> Replica:
    return Replica(id=address, service=_GATEWAY, revision="", state=ReplicaState.READY, pid=None)
