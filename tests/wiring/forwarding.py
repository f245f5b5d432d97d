"""A small API server of a cluster whose controller has a real dashboard: it passes ports as the kubelet does.

The pod, the Lease and the rights do not exist; tests/cluster has those.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import yaml
from aiohttp import WSMsgType, web

from answering import serving
from bateau.api.alert_routes import alert_application
from bateau.ui.cluster_dashboard import ClusterDashboard
from bateau.wiring.alerts import Alerts
from bateau.wiring.listen import free_port
from ui.test_cluster_dashboard import Shown

POD = "bateau-controller-1"
_SYSTEM = "bateau-system"


@asynccontextmanager
async def cluster_with(alerts: Alerts | None) -> AsyncGenerator[str]:
    """Give the URL of the API server. Without alerts, the controller is of a version that listed none."""
    port = free_port()
    operations = alert_application(alerts) if alerts else None
    dashboard = ClusterDashboard(
        cast("Any", Shown()), "127.0.0.1", port, name="berlin", alerts=alerts, operations=operations
    )
    await dashboard.open()
    app = web.Application()
    app.add_routes(
        [
            web.get("/api/v1/pods", _pods),
            web.get(f"/apis/coordination.k8s.io/v1/namespaces/{_SYSTEM}/leases/{{name}}", _lease),
            web.get(f"/api/v1/namespaces/{_SYSTEM}/pods/{POD}/portforward", _passing(port)),
        ]
    )
    try:
        async with serving(app, patience_s=0.1) as url:
            yield url
    finally:
        await dashboard.close()


def kubeconfig(path: Path, servers: Mapping[str, str]) -> Path:
    """Write a kubeconfig with a context for each server, by its name."""
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url}} for name, url in servers.items()],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in servers],
    }
    path.write_text(yaml.safe_dump(tree))
    return path


async def _pods(_: web.Request) -> web.Response:
    return web.json_response({"items": [{"metadata": {"name": POD, "namespace": _SYSTEM}}], "metadata": {}})


async def _lease(_: web.Request) -> web.Response:
    return web.json_response({"spec": {"holderIdentity": f"{POD}_7"}})


def _passing(port: int) -> Any:
    async def passed(request: web.Request) -> web.StreamResponse:
        opened = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await opened.prepare(request)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for channel in (0, 1):
            await opened.send_bytes(bytes([channel]) + struct.pack("<H", port))

        async def back() -> None:
            while data := await reader.read(65_536):
                await opened.send_bytes(b"\0" + data)
            await opened.close()

        sending = asyncio.create_task(back())
        try:
            async for message in opened:
                if message.type is WSMsgType.BINARY:
                    writer.write(message.data[1:])
        finally:
            sending.cancel()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            await asyncio.gather(sending, return_exceptions=True)
        return opened

    return passed
