"""Reach the dashboard and the alerts of the controller on a cluster.

Called by cli.alert_desks, cli.cluster_open and ui.cluster_dashboard.
"""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal

import aiohttp

from bateau.control.destinations import Destination
from bateau.domain.errors import ClusterError
from bateau.domain.system_names import CONTROLLER, DASHBOARD_PORT, LEASE
from bateau.kit.json_value import JsonObject, ReadObject, is_object, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.port_forward import forwarded, forwarded_socket
from bateau.wiring.clusters import api_of

OWN: Final = "/-/"  # for `bateau`, and for no page
LINKS: Final = f"{OWN}links"
AlertOperation = Literal["list", "silence", "unsilence", "test"]
_ALERTS: Final = f"{OWN}v1/alerts"
# A browser sends it to another origin only after that has allowed it, which nothing there does.
LINK_HEADER: Final = "x-bateau-open"
_LEASES: Final = Resource("/apis/coordination.k8s.io/v1", "leases", namespaced=True)
_PODS: Final = Resource("/api/v1", "pods", namespaced=True)
_LINK_S: Final = 15.0
_ALERTS_S: Final = 45.0  # a test waits for the receivers
_OLD: Final = "a controller of an older version has none; `bateau install` upgrades it"
_OLD_ALERTS: Final = "a controller of an older version does not list them; `bateau install` upgrades it"


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


async def alerts_on(place: Destination, operation: AlertOperation, body: ReadObject | None = None) -> JsonObject:
    """Ask the controller that acts on a cluster for its alerts, or to change them, and return its answer.

    The requests and answers are those of the control API of a machine. Raises ClusterError, also for what the
    controller refuses.
    """
    path = _ALERTS if operation == "list" else f"{_ALERTS}/{operation}"
    async with api_of(place) as api:
        namespace, pod = await _leader(api)
        with tempfile.TemporaryDirectory(prefix="bateau-") as folder:
            socket = Path(folder) / "alerts"
            async with forwarded_socket(api, namespace, pod, DASHBOARD_PORT, path=socket):
                return await _answer(socket, f"{namespace}/{pod}", path, body, method=_method(operation))


def _method(operation: AlertOperation) -> Literal["GET", "POST"]:
    return "GET" if operation == "list" else "POST"


async def _answer(
    socket: Path, pod: str, path: str, body: ReadObject | None, *, method: Literal["GET", "POST"]
) -> JsonObject:
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(socket)), timeout=aiohttp.ClientTimeout(total=_ALERTS_S)
            ) as session,
            session.request(method, f"http://localhost{path}", json=body, headers={LINK_HEADER: "1"}) as answer,
        ):
            told: object = await answer.json() if answer.content_type == "application/json" else None
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        says = str(error) or type(error).__name__
        raise ClusterError(f"the controller {pod} does not answer: {says}", hint=_OLD_ALERTS) from error
    if not is_object(told):
        raise ClusterError(f"the controller {pod} has no alerts (it answered {status})", hint=_OLD_ALERTS)
    if status >= HTTPStatus.BAD_REQUEST:
        raise ClusterError(text_at(told, "error"), hint=text_at(told, "hint") or None)
    return told


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
