"""Logs of pods through a real API server, with exactly the rights of an installation.

A program of the tests stands in for the kubelet, as no node runs here: it answers as the kubelet does, in
`containerLogs`. The authorization, the roles, the address of the node and the stream are those of the API server.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bateau.domain.replica import Replica, ReplicaState
from bateau.kit.json_value import JsonObject
from bateau.render.installation.objects import Installation
from bateau.runtimes.kubernetes import ApiServer, access_of
from bateau.wiring.installing import Given, install, proposal
from bateau.wiring.pod_logs import PodLogs
from cluster.fixtures import started
from cluster.kubectl import Kubectl
from runtimes.kubernetes.kubelet import NODES, PODS
from runtimes.kubernetes.metrics_stand_in import own_address, tls
from runtimes.kubernetes.rig import Bench, bench, eventually

SYSTEM = "bateau-system"
_MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def trusting() -> Iterator[Path]:
    """The kubeconfig of an API server that takes the certificate of any kubelet."""
    if "KUBECONFIG" in os.environ:
        pytest.skip("another cluster has real kubelets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_SERVER_ARGS", "--kubelet-certificate-authority=")
        yield from started("trusting", nodes=0, parts=["kube"])


class Kubelet:
    """What stands in for a kubelet. `open` is the number of logs that are followed."""

    def __init__(self) -> None:
        self.open = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.query["follow"] == "true", request.url
        assert request.query["timestamps"] == "true"
        response = web.StreamResponse(headers={"content-type": "text/plain"})
        await response.prepare(request)
        self.open += 1
        try:
            for number in range(1_000):
                await response.write(f"2026-11-30T08:04:10.{number:03}Z line {number}\n".encode())
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            self.open -= 1
        return response


@asynccontextmanager
async def running_pod(at: Bench) -> AsyncGenerator[tuple[Kubelet, Replica]]:
    """Give a pod that runs on a node of the stand-in, as far as the API server knows."""
    address, made = own_address(), Kubelet()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, address, 0, ssl_context=tls(address)).start()
    name = f"stand-in-{at.namespace}"
    await at.api.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    addresses: JsonObject = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": runner.addresses[0][1]}},
    }
    await patched(at, NODES.path("", name), addresses)
    container: JsonObject = {"name": "web", "image": "registry.example/web:1"}
    pod: JsonObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": at.namespace},
        "spec": {"nodeName": name, "containers": [container]},
    }
    await at.api.create(PODS, pod)
    await patched(at, PODS.path(at.namespace, "web-1"), {"phase": "Running"})
    try:
        yield (
            made,
            Replica(id=f"{at.namespace}/web-1", service="app/web", revision="1", state=ReplicaState.READY, pid=None),
        )
    finally:
        await runner.cleanup()


async def patched(at: Bench, path: str, status: JsonObject) -> None:
    await at.api.requests.json("PATCH", f"{path}/status", body={"status": status}, form=_MERGE)


async def is_refused(logs: PodLogs, replica: Replica) -> bool:
    async with aclosing(logs.follow(replica.id, lines=200)) as lines:
        first = await anext(lines)
    return first.startswith("(the log cannot be read: ") and 'cannot get resource "pods/log"' in first


@pytest.mark.timeout(600)
async def test_the_controller_follows_logs_with_the_right_of_the_installation_and_none_without(
    trusting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(trusting))
    admin = Kubectl(trusting, SYSTEM)

    async def installed(logs: str) -> None:
        settings = Installation(replicas=0, gateway_replicas=0, logs=logs)
        assert (await install(None, settings, timeout_s=60, force=False, told=lambda _: None)).done

        async def is_granted() -> bool:
            # The controller manager fills the bound role with the rules of those that it aggregates.
            rules: list[Any] = admin.get("clusterrole", "bateau-controller").get("rules") or []
            return bool(rules) and any("pods/log" in each["resources"] for each in rules) == (logs == "shown")

        await eventually(is_granted)
        assert (await proposal(None, Given(), upgrade=True)).settings.logs == logs, "an upgrade keeps it"

    async with bench(trusting) as at, running_pod(at) as (kubelet, replica):
        await installed("hidden")
        account = admin.with_token(admin("create", "token", "bateau-controller").strip(), tmp_path)
        async with ApiServer(access_of([account])) as api:
            logs = PodLogs(api=lambda: api, replicas=lambda: [replica])
            assert await is_refused(logs, replica)
            assert kubelet.open == 0, "nobody has asked the node"
            await installed("shown")
            async with asyncio.timeout(30), aclosing(logs.follow(replica.id, lines=200)) as lines:
                assert [await anext(lines) for _ in range(3)] == ["line 0", "line 1", "line 2"]
                assert kubelet.open == 1

            async def is_closed() -> bool:
                return kubelet.open == 0

            await eventually(is_closed)
            await installed("hidden")
            await eventually(lambda: is_refused(logs, replica))
