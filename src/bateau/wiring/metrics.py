"""Gather the counters of everything that runs into one page.

Called by the API's `/metrics`, when someone scrapes.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from bateau import __version__
from bateau.control.loop import Control
from bateau.domain.replica import Replica, ReplicaState
from bateau.observe.metrics import Page, add_envoy, add_llamacpp
from bateau.traffic.envoy import EnvoyPlane

_ENVOY_FILTER = (
    "bateau\\.|upstream_rq_total$|upstream_rq_retry$|upstream_rq_active$|upstream_cx_active$|membership_healthy$"
)
_TIMEOUT_S = 2.0


async def metrics_page(control: Control, plane: EnvoyPlane) -> str:
    """Return the Prometheus page of an instance."""
    page = Page()
    page.add("bateau_build_info", {"version": __version__}, 1, kind="gauge", says="The version that runs.")
    replicas = control.ports.runtime.observe()
    _add_replicas(page, replicas)
    envoys = await plane.ask(f"/stats/prometheus?filter={_ENVOY_FILTER}")
    add_envoy(page, *(text for text in envoys if text is not None))
    servers = [r for r in replicas if r.service.startswith("model/") and r.addresses.get("socket") and r.pid]
    texts = await asyncio.gather(*(_scrape(Path(replica.addresses["socket"])) for replica in servers))
    for replica, text in zip(servers, texts, strict=True):
        if text is not None:
            add_llamacpp(page, text, model=replica.service.partition("/")[2], replica=replica.id)
    failed = sum(text is None for text in (*envoys, *texts))
    page.add("bateau_scrape_failures", {}, failed, kind="gauge", says="Sources that could not be read for this page.")
    return page.text()


def _add_replicas(page: Page, replicas: Sequence[Replica]) -> None:
    for replica in replicas:
        labels = {"service": replica.service, "replica": replica.id}
        for state in ReplicaState:
            page.add(
                "bateau_replica_state",
                {**labels, "state": state},
                int(replica.state is state),
                kind="gauge",
                says="1 for the state that a replica is in.",
            )
        page.add(
            "bateau_replica_restarts_total", labels, replica.restarts, kind="counter", says="Restarts of a replica."
        )


async def _scrape(socket: Path) -> str | None:
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(path=str(socket), force_close=True),
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            ) as session,
            session.get("http://replica/metrics") as response,
        ):
            return await response.text() if response.status == 200 else None  # noqa: PLR2004
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None
