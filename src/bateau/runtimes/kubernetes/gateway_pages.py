"""Read the metrics of the gateways of a cluster, through its API server.

Called by wiring.cluster_view and wiring.gateway_usage. It needs the rights to list pods and to get `pods/proxy` in the
namespace of the gateways.

Invariant: a gateway that does not answer is named, and is not one without requests. Held by
tests/runtimes/kubernetes/test_gateway_pages.py::test_a_gateway_that_does_not_answer_is_named.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from bateau.domain.errors import ClusterError
from bateau.domain.system_names import GATEWAY, GATEWAY_PROBES_PORT
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource

_PODS: Final = Resource("/api/v1", "pods", namespaced=True)
_SELECTOR: Final = f"app.kubernetes.io/name={GATEWAY}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPage:
    """The page of one gateway, which is None if it did not answer; then `why` says why.

    `pod` is "namespace/name", and `since` when it started, in RFC 3339, empty if it has not.
    """

    pod: str
    since: str
    page: str | None
    why: str = ""


async def gateway_pages(api: ApiServer, metrics: str) -> tuple[GatewayPage, ...]:
    """Return the metrics of each gateway whose names match a filter of Envoy. Raises ClusterError if none is listed."""
    pods, _ = await api.list(_PODS, _started, selector=_SELECTOR)
    return tuple(await asyncio.gather(*(_page(api, *pod, metrics) for pod in sorted(pods))))


async def gateway_addresses(api: ApiServer, namespace: str) -> tuple[str, ...]:
    """Return the IP addresses of the gateways that run. Raises ClusterError."""
    found, _ = await api.list(_PODS, _address, namespace=namespace, selector=_SELECTOR)
    return tuple(sorted(each for each in found if each))


def _address(tree: JsonObject) -> str:
    return text_at(tree, "status", "podIP") if text_at(tree, "status", "phase") == "Running" else ""


def _started(tree: JsonObject) -> tuple[str, str, str]:
    at = "metadata"
    return text_at(tree, at, "namespace"), text_at(tree, at, "name"), text_at(tree, "status", "startTime")


async def _page(api: ApiServer, namespace: str, name: str, since: str, metrics: str) -> GatewayPage:
    pod = f"{namespace}/{name}"
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}:{GATEWAY_PROBES_PORT}/proxy/stats/prometheus"
    try:
        page = await api.requests.text(path, {"filter": metrics})
    except ClusterError as error:
        return GatewayPage(pod=pod, since=since, page=None, why=error.message)
    return GatewayPage(pod=pod, since=since, page=page)
