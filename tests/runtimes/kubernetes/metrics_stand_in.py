"""A stand-in for metrics-server: a program of the tests, which a real API server passes requests to by its APIService.

No kubelet measures here: a test sets the figures. The discovery, the TLS connection, the authorization and the path of
a request are those of a real cluster. metrics-server itself needs nodes, and does not run in these tests.
"""

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from bateau.domain.errors import ClusterError
from bateau.kit.certificates import issue
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import ApiServer
from bateau.runtimes.kubernetes.api import Resource

_VERSION = "metrics.k8s.io/v1beta1"
_API_SERVICE = "v1beta1.metrics.k8s.io"
_API_SERVICES = Resource("/apis/apiregistration.k8s.io/v1", "apiservices", namespaced=False)
_SERVICES = Resource("/api/v1", "services", namespaced=True)
_SLICES = Resource("/apis/discovery.k8s.io/v1", "endpointslices", namespaced=True)


@dataclass
class StandIn:
    """What is served: CPU and memory by "namespace/pod". `asked` are the paths of lists, and who has asked."""

    figures: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def handle(self, request: web.Request) -> web.Response:
        if request.path == f"/apis/{_VERSION}":
            kind = {"name": "pods", "kind": "PodMetrics", "namespaced": True, "singularName": "", "verbs": ["list"]}
            return web.json_response(
                {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _VERSION, "resources": [kind]}
            )
        if not request.path.endswith("/pods"):
            return web.json_response({"kind": "Status", "apiVersion": "v1", "code": 404}, status=404)
        self.asked.append((request.path, request.headers.get("X-Remote-User", "")))
        namespace = request.path.split("/")[5] if "/namespaces/" in request.path else ""
        items = [_item(name, *use) for name, use in self.figures.items() if namespace in ("", name.partition("/")[0])]
        return web.json_response({"kind": "PodMetricsList", "apiVersion": _VERSION, "metadata": {}, "items": items})


@asynccontextmanager
async def metrics_stand_in(api: ApiServer, namespace: str) -> AsyncGenerator[StandIn]:
    """Serve metrics.k8s.io for the length of a block. `api` is an administrator's; the Service is in the namespace."""
    address = own_address()
    made = StandIn()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, address, 0, ssl_context=tls(address)).start()
    try:
        for resource, tree in _objects(namespace, address, runner.addresses[0][1]):
            await api.apply(resource, tree)
        async with asyncio.timeout(60):
            while not await _is_served(api):  # noqa: ASYNC110 - the API server asks it now and then
                await asyncio.sleep(0.2)
        yield made
    finally:
        # An APIService that stays would keep every namespace of the cluster from ending.
        if tree := await api.get(_API_SERVICES, "", _API_SERVICE):
            await api.delete(_API_SERVICES, "", _API_SERVICE, uid=text_at(tree, "metadata", "uid"))
        await runner.cleanup()


async def _is_served(api: ApiServer) -> bool:
    try:
        return await api.resource(_VERSION, "PodMetrics") is not None
    except ClusterError:
        return False


def _item(name: str, cpu: str, memory: str) -> Mapping[str, object]:
    namespace, _, pod = name.partition("/")
    now = (datetime.now(tz=UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": pod, "namespace": namespace},
        "timestamp": now,
        "window": "15s",
        "containers": [{"name": "web", "usage": {"cpu": cpu, "memory": memory}}],
    }


def _objects(namespace: str, address: str, port: int) -> list[tuple[Resource, JsonObject]]:
    metadata: JsonObject = {"name": "metrics-stand-in", "namespace": namespace}
    return [
        (
            _SERVICES,
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 443}]}},
        ),
        (
            _SLICES,
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "metrics-stand-in"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
                "ports": [{"name": "", "port": port, "protocol": "TCP"}],
            },
        ),
        (
            _API_SERVICES,
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": _API_SERVICE},
                "spec": {
                    "group": "metrics.k8s.io",
                    "version": "v1beta1",
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": {"name": "metrics-stand-in", "namespace": namespace, "port": 443},
                },
            },
        ),
    ]


def own_address() -> str:
    """Return an address of this machine at which an API server beside it reaches a program of the tests."""
    """Return an address of this machine that an EndpointSlice may have: none of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback, and an EndpointSlice may not have that")
        return str(probe.getsockname()[0])


def tls(address: str) -> ssl.SSLContext:
    """Return the TLS of a server at an address, with a certificate that nobody has signed."""
    pair = issue(
        server_names=[address], client_name="none", now=datetime.now(tz=UTC), lifetime=timedelta(days=1)
    ).server
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.pem"
        path.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(path)
    return context
