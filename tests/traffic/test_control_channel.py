"""The channel between control plane and Envoy: its messages, and the behaviour if one end is gone."""

import asyncio
import json
import logging
import socket
from dataclasses import replace
from typing import Any

import pytest

from bateau.domain.endpoint import Backend
from traffic.gateway import REPLICA, Gateway, eventually, free_port, model
from traffic.load import Load
from traffic.upstream import Stream, Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_new_control_plane_sends_nothing_that_did_not_change(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    chat, other = model("chat", first.endpoint()), model("other", second.endpoint())
    await gateway.publish(chat, other)
    before = await _taken(gateway)
    assert {"front", "model/chat", "model/other"} <= set(before)
    await gateway.restart_control(chat, other)
    assert (await gateway.chat()).status == 200
    assert await _taken(gateway) == before


async def test_an_idle_channel_stays_open(gateway: Gateway, first: Upstream) -> None:
    """Envoy pings every 5 s; by default, gRPC ends the connection after 21 s of that."""
    await gateway.publish(model("chat", first.endpoint()))
    before = await gateway.stat("cluster.bateau-xds.upstream_cx_total")
    await asyncio.sleep(25)
    assert await gateway.stat("cluster.bateau-xds.upstream_cx_total") == before > 0


async def test_a_new_control_plane_that_knows_more_sends_the_difference(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    chat, other = model("chat", first.endpoint()), model("other", second.endpoint())
    await gateway.publish(chat)
    before = await _taken(gateway)
    await gateway.restart_control(chat, other)
    await eventually(lambda: _status_is(gateway, "other", 200))
    after = await _taken(gateway)
    assert after["model/chat"] == before["model/chat"]
    assert set(after) - set(before) == {"model/other"}


async def test_a_new_control_plane_whose_clusters_differ_replaces_them_with_their_endpoints(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    chat, port = model("chat", first.endpoint()), free_port()
    as_http = _app(port, second)
    await gateway.publish(chat, replace(as_http, protocol="grpc"))
    await gateway.restart_control(chat, as_http)

    async def served() -> bool:
        return (await gateway.ask("GET", f"http://127.0.0.1:{port}/")).status == 200

    await eventually(served)


async def test_a_new_control_plane_that_knows_less_removes_what_is_gone(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    chat, other = model("chat", first.endpoint()), model("other", second.endpoint())
    await gateway.publish(chat, other)
    await gateway.restart_control(chat)
    await eventually(lambda: _status_is(gateway, "other", 404))
    await eventually(lambda: _is_gone(gateway, "model/other"))
    assert (await gateway.chat()).status == 200


async def test_a_control_plane_that_is_away_and_comes_back_costs_no_request(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    chat, other = model("chat", first.endpoint()), model("other", second.endpoint())
    await gateway.publish(chat, other)
    stream = Stream()
    second.answer = stream.answer
    async with (
        Load(gateway) as load,
        gateway.session.post("/v1/chat/completions", json={"model": "other"}) as response,
    ):
        await stream.begun.wait()
        await gateway.plane.close()
        await eventually(gateway.is_disconnected)
        await load.more(50)
        await gateway.restart_control(chat, other)
        await load.more(50)
        stream.send(b"whole")
        stream.end()
        assert await response.read() == b"whole"
    assert load.tally.bad == []


async def test_what_is_in_flight_is_unknown_until_envoy_has_taken_what_was_published(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
    assert await gateway.in_flight(first.name) == 0
    await gateway.restart_control(
        model("chat", first.endpoint(draining=True), second.endpoint()), before_connected=_load_is_unknown
    )
    for _ in range(10):
        assert (await gateway.chat()).tree == {"upstream": second.name}
    assert await gateway.in_flight(first.name) == 0


async def test_another_listen_address_moves_the_port_of_the_same_envoy_and_cuts_no_stream(
    gateway: Gateway, first: Upstream
) -> None:
    """Issue 8: another `--listen` replaced Envoy, and curl ended after 23 of 30 lines."""
    stream, chat = Stream(), model("chat", first.endpoint())
    await gateway.publish(chat)
    before, old = gateway.plane.template(), gateway.port
    first.answer = stream.answer
    async with gateway.session.post("/v1/chat/completions", json={"model": "chat"}) as response:
        await stream.begun.wait()
        gateway.port = free_port()
        try:
            await gateway.restart_control(chat)
            assert gateway.plane.template() == before, "the gateway would be replaced"
            answer = await gateway.ask("GET", f"http://127.0.0.1:{gateway.port}/healthz")
            assert answer.status == 200
            assert await _refuses(old)
            stream.send(b"whole")
            stream.end()
            assert await response.read() == b"whole"
        finally:
            gateway.port = old
            await gateway.restart_control(chat)


async def test_the_channel_opens_only_with_something_to_say(gateway: Gateway) -> None:
    await gateway.plane.close()
    assert not (gateway.base / "xds.sock").exists()
    await gateway.restart_control()
    assert (gateway.base / "xds.sock").exists()


async def test_only_its_user_can_open_the_sockets(gateway: Gateway) -> None:
    for name in ("xds.sock", f"{REPLICA}.sock"):
        assert (gateway.base / name).stat().st_mode & 0o777 == 0o600, name


async def test_what_envoy_rejects_is_reported_and_the_rest_goes_on(
    gateway: Gateway, first: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    chat = model("chat", first.endpoint())
    await gateway.publish(chat)
    with socket.socket() as taken, caplog.at_level(logging.ERROR, "bateau.traffic"):
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        await gateway.publish(chat, _app(taken.getsockname()[1]))

        async def reported() -> bool:
            lines = [record.getMessage() for record in caplog.records]
            return any("rejected app/shop" in line for line in lines)

        await eventually(reported)
    assert (await gateway.chat()).status == 200


async def test_what_envoy_rejected_is_sent_again_with_the_next_change(gateway: Gateway, first: Upstream) -> None:
    chat = model("chat", first.endpoint())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = int(taken.getsockname()[1])
        await gateway.publish(chat, _app(port, first))
    await gateway.publish(chat, model("other"), _app(port, first))
    answer = await gateway.ask("GET", f"http://127.0.0.1:{port}/")
    assert answer.status == 200


async def test_a_rejected_change_leaves_the_listener_as_it_was(gateway: Gateway, first: Upstream) -> None:
    chat, port = model("chat", first.endpoint()), free_port()
    await gateway.publish(chat, _app(port, first))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        await gateway.publish(chat, _app(int(taken.getsockname()[1]), first))
        assert (await gateway.ask("GET", f"http://127.0.0.1:{port}/")).status == 200
    await gateway.publish(chat)
    await eventually(lambda: _refuses(port))


async def test_of_the_control_api_the_gateway_passes_metrics_webhooks_and_nothing_else(gateway: Gateway) -> None:
    async with upstream("control", gateway.base / "control.sock") as api:
        assert (await gateway.ask("GET", "/metrics")).tree == {"upstream": "control"}
        for path in ("/-/webhooks/git", "/-/events"):
            assert (await gateway.ask("POST", path)).tree == {"upstream": "control"}
        others = (
            ("POST", "/v1/stop"),
            ("GET", "/v1/status"),
            ("GET", "/metrics/../v1/status"),
            ("POST", "/-/webhooks/git/../../../v1/stop"),
            ("POST", "/-/webhooks/git/more"),
            ("POST", "/-/events/../../v1/stop"),
            ("POST", "/-/events/more"),
        )
        for method, path in others:
            assert (await gateway.ask(method, path)).status >= 400
        for method, path in (("GET", "/metrics"), ("POST", "/-/webhooks/git"), ("POST", "/-/events")):
            assert (await gateway.ask(method, path, headers={"host": "evil.example"})).status == 403
        assert [seen.path for seen in api.seen] == ["/metrics", "/-/webhooks/git", "/-/events"]


def _app(port: int, *upstreams: Upstream) -> Backend:
    endpoints = tuple(each.endpoint() for each in upstreams)
    return Backend(
        service="app/shop", name="shop", protocol="http", endpoints=endpoints, listen_port=port, port_name="http"
    )


async def _load_is_unknown(gateway: Gateway) -> None:
    while not (state := gateway.plane.observe()).accepted:
        assert state.load is None
        await asyncio.sleep(0.01)


async def _taken(gateway: Gateway) -> dict[str, str]:
    """Return when Envoy took each cluster and route table that it has."""
    dump: dict[str, Any] = json.loads(await gateway.admin.text("/config_dump") or "{}")
    found: dict[str, str] = {}
    for part in dump["configs"]:
        for cluster in part.get("dynamic_active_clusters", []):
            found[cluster["cluster"]["name"]] = cluster["last_updated"]
        for routes in part.get("dynamic_route_configs", []):
            found[routes["route_config"]["name"]] = routes["last_updated"]
    return found


async def _status_is(gateway: Gateway, name: str, status: int) -> bool:
    return (await gateway.chat(name)).status == status


async def _is_gone(gateway: Gateway, cluster: str) -> bool:
    return cluster not in await _taken(gateway)


async def _refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
