"""Reach the dashboard of the controller on a cluster.

Called by cli.cluster_open and ui.cluster_dashboard.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from bateau.control.destinations import Destination
from bateau.domain.errors import ClusterError
from bateau.domain.system_names import CONTROLLER, DASHBOARD_PORT, LEASE
from bateau.kit.json_value import JsonObject, is_object, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.port_forward import forwarded
from bateau.wiring.clusters import api_of

LINKS: Final = "/-/links"
# A browser sends it to another origin only after that has allowed it, which nothing there does.
LINK_HEADER: Final = "x-bateau-open"
_LEASES: Final = Resource("/apis/coordination.k8s.io/v1", "leases", namespaced=True)
_PODS: Final = Resource("/api/v1", "pods", namespaced=True)
_LINK_S: Final = 15.0
_OLD: Final = "a controller of an older version has none; `bateau install` upgrades it"


@asynccontextmanager
async def opened(place: Destination, *, listen: tuple[str, int]) -> AsyncGenerator[str]:
    """Forward the dashboard of the controller that acts for the length of a block, and give a link that opens it once.

    Raises ClusterError, and OSError if nothing can listen there.
    """
    async with api_of(place) as api:
        namespace, pod = await _leader(api)
        async with forwarded(api, namespace, pod, DASHBOARD_PORT, listen=listen) as (host, port):
            url = f"http://{host}:{port}"
            yield url + await _link(url, f"{namespace}/{pod}")


async def _leader(api: ApiServer) -> tuple[str, str]:
    """Return the namespace and the pod of the controller that holds the lease. Raises ClusterError."""
    selector = f"app.kubernetes.io/name={CONTROLLER}"
    pods, _ = await api.list(_PODS, _name, selector=selector)
    for namespace, pod in sorted(pods):
        lease = await api.get(_LEASES, namespace, LEASE)
        if lease and text_at(lease, "spec", "holderIdentity").rpartition("_")[0] == pod:
            return namespace, pod
    if pods:
        raise ClusterError(f"{api.name}: no controller acts now", hint="see `kubectl get pods -A`, and try it again")
    raise ClusterError(f"{api.name} has no controller", hint="`bateau install` makes one")


def _name(tree: JsonObject) -> tuple[str, str]:
    return text_at(tree, "metadata", "namespace"), text_at(tree, "metadata", "name")


async def _link(url: str, pod: str) -> str:
    try:
        timeout = aiohttp.ClientTimeout(total=_LINK_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url + LINKS, headers={LINK_HEADER: "1"}) as answer,
        ):
            told: object = await answer.json() if answer.ok else None
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ClusterError(f"the dashboard of {pod} does not answer: {error}", hint=_OLD) from error
    path = text_at(told, "path") if is_object(told) else ""
    if not path:
        raise ClusterError(f"{pod} has no dashboard", hint=_OLD)
    return path
