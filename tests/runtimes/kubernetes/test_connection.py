"""Each way in which a connection to a real API server can fail: nothing is missed, and nothing is done twice."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from bateau.domain.errors import ClusterError, ClusterUnreachable
from bateau.kit.backoff import Backoff
from bateau.kit.certificates import issue
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes import (
    Access,
    ApiServer,
    KubernetesRuntime,
    access_of,
    credentials,
    requests,
    runtime,
    watching,
)
from bateau.runtimes.kubernetes import api as api_module
from bateau.runtimes.kubernetes.kubeconfig import ExecPlugin
from bateau.wiring.this_process import SystemClock
from runtimes.kubernetes.admission import serving
from runtimes.kubernetes.proxy import Fault, late, proxied, refusing, spoiled
from runtimes.kubernetes.rig import CONFIG_MAPS, Bench, eventually, settled, unit, until

_GONE = (
    json.dumps({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}).encode() + b"\n"
)
_SLOW_S = 0.7
FAULTS = (
    Fault("overloaded", before=refusing(429, "TooManyRequests", "slow down", **{"Retry-After": "1"}), times=4),
    Fault("broken", before=refusing(500, "InternalError", "etcd is away"), times=4),
    Fault("without a leader", before=refusing(503, "ServiceUnavailable", "leader changed"), times=9),
    Fault("cut in the middle of an answer", passing=spoiled(), times=9),
    Fault("half an answer", passing=spoiled(ends="end"), times=9),
    Fault("slower than the client waits", before=late(_SLOW_S * 2), times=3),
    Fault("a watch is gone", watches=True, before=refusing(410, "Expired", "too old resource version"), times=3),
    Fault("a watch says that it is gone", watches=True, passing=spoiled(share=0, ends="end", more=_GONE), times=3),
    Fault("a watch is refused", watches=True, before=refusing(500, "InternalError", "etcd is away"), times=3),
    Fault("a watch is overloaded", watches=True, before=refusing(429, "TooManyRequests", "slow down"), times=3),
    Fault("a watch ends in half a line", watches=True, passing=spoiled(ends="end"), times=3),
    Fault("a watch is cut", watches=True, passing=spoiled(share=0), times=3),
    Fault("a watch ends silently", watches=True, passing=spoiled(share=0, ends="end"), times=3),
    Fault("a watch says nothing", watches=True, passing=spoiled(share=0, ends="hang"), times=3),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(watching, "_RETRY", Backoff(initial_s=0.01, ceiling_s=0.2))
    monkeypatch.setattr(runtime, "_AWAY_S", 0.2)
    monkeypatch.setattr(credentials, "_FILE_S", 0.0)
    monkeypatch.setattr(requests, "REQUEST_S", _SLOW_S)
    monkeypatch.setattr(api_module, "SILENCE_S", _SLOW_S)


@asynccontextmanager
async def _runtime(b: Bench, access: Access) -> AsyncGenerator[KubernetesRuntime]:
    made = KubernetesRuntime(ApiServer(access), SystemClock(), owner=b.namespace, namespace=b.namespace)
    await made.adopt()
    try:
        yield made
    finally:
        await made.close()


def _is_known(seen: Observed) -> bool:
    return not seen.moving and not seen.failures and seen.unknown is None


async def _edited(b: Bench, name: str) -> None:
    body: JsonObject = {"data": {"a": "edited"}}
    path = CONFIG_MAPS.path(b.namespace, name)
    await b.api.requests.json("PATCH", path, body=body, form="application/merge-patch+json")


async def test_every_fault_of_a_connection_passes_and_nothing_is_missed(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with proxied(b.kubeconfig) as (access, proxy), _runtime(b, access) as made:
        await settled(made, [unit("shop", b.config_map("shop", a="0"), b.config_map("shop-0"))])
        for number, fault in enumerate(FAULTS, start=1):
            proxy.misbehave(fault)
            if fault.watches:
                proxy.cut_all()
            a = str(number)
            await settled(made, [unit("shop", b.config_map("shop", a=a), b.config_map(f"shop-{number}"))])
            assert await b.data("shop") == {"a": a}, fault.name
            assert await b.api.get(CONFIG_MAPS, b.namespace, f"shop-{number - 1}") is None, fault.name
            # The watch is alive: an edit is seen and repaired.
            await _edited(b, "shop")

            async def is_repaired(a: str = a) -> bool:
                return await b.data("shop") == {"a": a}

            await eventually(is_repaired)
            await until(made, _is_known)
            assert proxy.left < fault.times, fault.name


async def test_an_api_server_that_is_killed_is_unknown_and_then_known_again(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with proxied(b.kubeconfig) as (access, proxy), _runtime(b, access) as made:
        await settled(made, [unit("shop", b.config_map("shop", a="1"))])
        proxy.killed = True
        proxy.cut_all()
        seen = await until(made, lambda seen: seen.unknown is not None)
        assert "berlin" in (seen.unknown or "")
        assert [each.phase for each in seen.objects] == ["current"], "the last known state stays"
        await _edited(b, "shop")
        proxy.killed = False
        await until(made, _is_known)
        await eventually(lambda: _is(b, "shop", {"a": "1"}))


@pytest.mark.parametrize("again", [False, True])
async def test_an_object_that_goes_before_the_watch_tells_it_is_created_again(
    cluster_bench: Bench, again: bool
) -> None:
    """The watch is away for a moment. Then it tells creation and deletion at once, and that of a successor."""
    b = cluster_bench
    async with proxied(b.kubeconfig) as (access, proxy), _runtime(b, access) as made:
        await settled(made, [unit("shop", b.config_map("shop"))])
        proxy.misbehave(Fault("away", watches=True, before=refusing(500, "InternalError", "etcd is away"), times=1000))
        proxy.cut_all()
        made.apply([unit("shop", b.config_map("shop")), unit("cart", b.config_map("cart", a="1"))])
        await eventually(lambda: _is(b, "cart", {"a": "1"}))
        found = await b.api.get(CONFIG_MAPS, b.namespace, "cart")
        await b.api.delete(CONFIG_MAPS, b.namespace, "cart", uid=text_at(found or {}, "metadata", "uid"))
        if again:
            labels = object_at(found, "metadata", "labels")
            tree = b.config_map("cart")
            await b.api.create(CONFIG_MAPS, {**tree, "metadata": {**object_at(tree, "metadata"), "labels": labels}})
        proxy.left = 0
        await until(made, _is_known)
        assert await b.data("cart") == {"a": "1"}


async def _is(b: Bench, name: str, data: object) -> bool:
    return await b.data(name) == data


async def test_a_rotated_token_is_fetched_once_for_all_requests(cluster_bench: Bench, tmp_path: Path) -> None:
    b = cluster_bench
    plugin, told, calls = tmp_path / "plugin", tmp_path / "token", tmp_path / "calls"
    told.write_text("first")
    plugin.write_text(f'#!/bin/sh\necho >> {calls}\nprintf \'{{"status": {{"token": "%s"}}}}\' "$(cat {told})"\n')
    plugin.chmod(0o755)
    async with proxied(b.kubeconfig, token="first") as (plain, proxy):
        access = replace(plain, plugin=ExecPlugin(command=str(plugin), api_version="client.authentication.k8s.io/v1"))
        async with _runtime(b, access) as made:
            await settled(made, [unit("shop", b.config_map("shop", a="0"))])
            before = calls.read_text().count("\n")
            told.write_text("second")
            proxy.token = "second"  # noqa: S105 - of this test
            proxy.cut_all()
            await settled(made, [unit(f"a{number}", b.config_map(f"a{number}")) for number in range(20)])
            await until(made, _is_known)
            assert calls.read_text().count("\n") == before + 1


async def test_a_rotated_client_certificate_is_used_for_the_next_requests(cluster_bench: Bench, tmp_path: Path) -> None:
    b = cluster_bench
    access = access_of([b.kubeconfig])
    assert access.certificate is not None
    assert access.key is not None
    files = tmp_path / "client.crt", tmp_path / "client.key"
    files[0].write_bytes(access.certificate)
    files[1].write_bytes(access.key)
    api = ApiServer(replace(access, certificate_file=files[0], key_file=files[1]))
    try:
        assert await _user(api) != "rotated"
        for path, content in zip(files, await _certificate(b, "rotated", tmp_path), strict=True):
            path.write_bytes(content)
        assert await _user(api) == "rotated"
    finally:
        await api.close()


async def test_certificate_authorities_that_are_replaced_on_disk_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_FILE_S", 3600.0)
    first, second = (
        issue(server_names=["localhost"], client_name="none", now=datetime.now(tz=UTC), lifetime=timedelta(days=1))
        for _ in range(2)
    )

    async def version(_request: web.Request) -> web.Response:
        return web.json_response({"gitVersion": "v1.37.2"})

    app = web.Application()
    app.router.add_get("/version", version)
    ca = tmp_path / "ca.crt"
    ca.write_bytes(first.authority)
    async with serving(app, first.server) as (port, _):
        access = Access(name="berlin", server=f"https://localhost:{port}", ca=first.authority, ca_file=ca)
        api = ApiServer(access)
        assert await api.version() == "v1.37.2"
    async with api, serving(app, second.server, port):
        with pytest.raises(ClusterUnreachable, match="its certificate is not trusted"):
            await api.version()
        ca.unlink()  # it is about to be replaced
        with pytest.raises(ClusterUnreachable, match="its certificate is not trusted"):
            await api.version()
        ca.write_bytes(second.authority[:-40])
        with pytest.raises(ClusterError, match="not a PEM certificate"):
            await api.version()
        ca.write_bytes(second.authority)
        assert await api.version() == "v1.37.2"


async def _user(api: ApiServer) -> str:
    """Return as whom the API server sees this client."""
    review: JsonObject = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    told = await api.requests.json(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review, form="application/json"
    )
    return text_at(told, "status", "userInfo", "username")


async def _certificate(b: Bench, name: str, folder: Path) -> tuple[bytes, bytes]:
    """Return a client certificate that the cluster has signed, and its key."""
    key, request = folder / "key", folder / "request"
    command = f"openssl req -new -newkey rsa:2048 -nodes -subj /CN={name} -keyout {key} -out {request}"
    process = await asyncio.create_subprocess_exec(*command.split(), stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    requests_path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    signing: JsonObject = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": f"{b.namespace}-{name}"},
        "spec": {
            "request": base64.b64encode(request.read_bytes()).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
    made = await b.api.requests.json("POST", requests_path, body=signing, form="application/json")
    path = f"{requests_path}/{b.namespace}-{name}"
    approved: JsonObject = {"type": "Approved", "status": "True", "reason": "Test", "message": "test"}
    await b.api.requests.json(
        "PUT", f"{path}/approval", body={**made, "status": {"conditions": [approved]}}, form="application/json"
    )
    found: list[str] = []

    async def is_signed() -> bool:
        told = await b.api.requests.json("GET", path)
        found[:] = [text_at(told, "status", "certificate")]
        return bool(found[0])

    await eventually(is_signed)
    await b.api.requests.json("DELETE", path)
    return base64.b64decode(found[0]), key.read_bytes()
