"""Ask the gateways of a cluster for the requests and tokens that they have counted.

Called by cli.cluster_usage.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bateau.control.destinations import Destination
from bateau.domain.used import Summary
from bateau.observe.gateway_usage import FILTER, By, gateway_usage
from bateau.runtimes.kubernetes.gateway_pages import gateway_pages
from bateau.wiring.clusters import api_of


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayUsage:
    """The sums of the gateways that have answered. `since` is when the first of them started, None without any.

    `missing` has the pod of each other one, and why it did not answer.
    """

    sums: Summary
    since: str | None
    gateways: int
    missing: Sequence[tuple[str, str]]


async def gateway_usage_on(place: Destination, by: By) -> GatewayUsage:
    """Return the usage by key or model on a cluster. Raises ClusterError."""
    async with api_of(place) as api:
        found = await gateway_pages(api, FILTER)
    pages = [(each.since, each.page) for each in found if each.page is not None]
    return GatewayUsage(
        sums=gateway_usage((page for _, page in pages), by),
        since=min((since for since, _ in pages if since), default=None),
        gateways=len(found),
        missing=[(each.pod, each.why) for each in found if each.page is None],
    )
