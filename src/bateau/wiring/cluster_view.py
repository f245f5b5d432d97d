"""The services of a cluster, live, for the dashboard of its controller.

Called by cli.controller, ui.cluster_dashboard and wiring.cluster_measures. Everything is in the memory of the
controller already, so an open page asks the API server for nothing but the addresses of the gateways, whose counters
are read while someone watches, and the use of the pods.

Invariant: a bug here ends no reconciliation. Held by
tests/wiring/test_cluster_view.py::test_a_bug_is_logged_and_the_controller_continues.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import aiohttp

from bateau import __version__
from bateau.control.cluster_status import Facts, Namespace, cluster_release, cluster_status
from bateau.control.happenings import happenings
from bateau.control.snapshots import Snapshots
from bateau.domain.errors import ClusterError
from bateau.domain.release import Release
from bateau.domain.replica import Replica
from bateau.domain.status import Status
from bateau.domain.system_names import GATEWAY, GATEWAY_PROBES_PORT
from bateau.domain.timeline import Entry
from bateau.kit.latest import Latest
from bateau.observe.gateway_usage import FILTER, gateway_usage
from bateau.runtimes.kubernetes.gateway_pages import gateway_addresses
from bateau.wiring.cluster_events import ClusterEvents
from bateau.wiring.controller_terms import Terms
from bateau.wiring.figures import ServiceMeter, answered
from bateau.wiring.pod_uses import PodUses
from bateau.wiring.this_process import SystemClock

logger = logging.getLogger(__name__)

_TOGETHER_S: Final = 0.3  # changes within this time are one snapshot
_ASK_S: Final = 1.5
_LOOK_S: Final = 5.0
# A gateway names the routes of models NAMESPACE/NAME, and the dashboard NAMESPACE.NAME.
_ROUTE: Final = re.compile(r'route="([^"/]+)/([^"/]+)"')


class ClusterView:
    """The status, the events and the figures of a cluster, from `run` to its end."""

    def __init__(self, controller: Terms, told: ClusterEvents | None = None) -> None:
        self._controller = controller
        self._told = told or ClusterEvents()
        self._before: Status | None = None  # the last status while the cluster could be reached
        self._news = asyncio.Event()
        self._since = time.time()
        self._release = Latest[Release]()
        self.used: tuple[Mapping[str, int], Mapping[str, int]] | None = None
        self.addresses: tuple[str, ...] = ()  # of the gateways, when they were asked last
        self._http: aiohttp.ClientSession | None = None
        self.snapshots = Snapshots()
        self.release = Release()
        self.uses = PodUses(SystemClock(), api=lambda: self._controller.api, replicas=self.pods)
        self.meter = ServiceMeter(
            SystemClock(),
            uses=self.uses.now,
            asked=self.pages,
            used=lambda: self.used,
            replicas=tuple,
            services=lambda: self.release.services,
        )

    def events(self) -> tuple[Entry, ...]:
        """Return the latest events, the latest last: the same object until there is another."""
        return self._told.shown

    def pods(self) -> Sequence[Replica]:
        """Return the pods of all services, as far as they are known now."""
        latest = self.snapshots.latest
        return [each for service in latest.services for each in service.replicas] if latest else ()

    async def run(self) -> None:
        """Follow the controller until cancelled."""
        self._controller.on_change(self._news.set)
        self._news.set()
        try:
            while True:
                await self._changed()
                await asyncio.sleep(_TOGETHER_S)
                self._news.clear()
                try:
                    self._look()
                except Exception:
                    logger.exception("the dashboard does not show the latest state: this is a bug in bateau")
        finally:
            self.snapshots.end()
            if self._http:
                await self._http.close()

    async def _changed(self) -> None:
        """Return when something has changed. The number of connected gateways is checked now and then."""
        gateways = self._controller.gateways
        while not self._news.is_set() and gateways == self._controller.gateways:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()

    def _look(self) -> None:
        controller = self._controller
        namespaces = controller.namespaces()
        self.release = self._release.of(
            lambda: cluster_release(namespaces),
            same=tuple(each.declared for each in namespaces),
            equal=tuple(each.name for each in namespaces),
        )
        after = self.snapshots.take(cluster_status(namespaces, self._facts(namespaces)))
        # Services that are Unknown with their cluster are one event, that of the cluster.
        if controller.is_read and after is not self._before:
            before, self._before = self._before, after
            self._told.tell(happenings(before, after, when_s=time.time()) if before else ())

    def _facts(self, namespaces: Sequence[Namespace]) -> Facts:
        controller = self._controller
        settings = controller.settings
        source = settings.repository or settings.bundle
        number = f"{len(namespaces)} namespace{'' if len(namespaces) == 1 else 's'}"
        return Facts(
            version=__version__,
            cluster=controller.name,
            source=str(source) if source else f"the documents of {number}",
            environment=settings.environment,
            endpoint=f"http://{GATEWAY}.{settings.namespace}",
            gateways=controller.gateways,
            pid=os.getpid(),
            since=self._since,
            unreachable=controller.reach.unreachable,
        )

    async def pages(self, path: str) -> Sequence[str | None]:
        """Return a page of each gateway, None for one without an answer."""
        if self._controller.gateways is None:
            return []
        self._http = self._http or aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ASK_S))
        try:
            addresses = await gateway_addresses(self._controller.api, self._controller.settings.namespace)
        except ClusterError:
            self.used = None
            return [None]
        self.addresses = tuple(addresses)
        usage = await asyncio.gather(*(self._page(each, f"/stats/prometheus?filter={FILTER}") for each in addresses))
        texts = [each for each in usage if each is not None]
        groups = gateway_usage(map(_renamed, texts), "model").by if len(texts) == len(usage) else None
        self.used = None if groups is None else answered({name: each.sum for name, each in groups.items()})
        pages = await asyncio.gather(*(self._page(each, path) for each in addresses))
        return [each and _renamed(each) for each in pages]

    async def _page(self, address: str, path: str) -> str | None:
        if self._http is None:
            return None
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._http.get(f"http://{host}:{GATEWAY_PROBES_PORT}{path}") as answer:
                return await answer.text() if answer.ok else None
        except (aiohttp.ClientError, TimeoutError):
            return None


def _renamed(page: str) -> str:
    return _ROUTE.sub(r'route="\1.\2"', page)
