"""An error in one backend, one listener or one proxy affects no other: all else is published and served."""

import logging
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bateau.domain.endpoint import Backend, Endpoint, ExternalTarget
from bateau.traffic.envoy import plane as envoy_plane
from traffic.gateway import ANSWER_S, REPLICA, Gateway, eventually, model
from traffic.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        yield int(holder.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://api.example.org:99999/v1", "the port of the URL is 99999, which is out of range"),
        ("https://host:abc/v1", "the port of the URL is `abc`, which is not a number"),
        ("https://[::1/v1", "the bracket around the IPv6 address of the URL is not closed"),
        ("https:///v1", "the URL has no host"),
        ("https://api.example.org:0/v1", "the port of the URL is 0, which is out of range"),
        ("ftp://api.example.org/v1", "the URL does not begin with http:// or https://"),
        ("", "the URL does not begin with http:// or https://"),
    ],
)
async def test_an_invalid_url_leaves_out_only_its_own_backend(
    gateway: Gateway, first: Upstream, caplog: pytest.LogCaptureFixture, url: str, says: str
) -> None:
    big = model("big", external=ExternalTarget(url=url, api_key="sk-secret"))
    with caplog.at_level(logging.ERROR, "bateau.traffic"):
        for _ in range(3):
            await gateway.publish(big, model("chat", first.endpoint()))
    assert gateway.plane.observe().rejected == {"model/big": says}
    (record,) = caplog.records
    assert "model/big is not published" in record.getMessage()
    assert record.exc_info is None, "a wrong value is no bug"
    assert "sk-secret" not in caplog.text
    assert (await gateway.chat()).status == 200
    await gateway.publish(model("chat", first.endpoint()))
    assert gateway.plane.observe().rejected == {}


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(model("broken", Endpoint(replica="model.broken.0", address="no address")), id="address"),
        pytest.param(model("broken", upstream_model=7), id="value of another type"),  # type: ignore[arg-type]
        pytest.param(
            Backend(service="model/broken", name="broken", protocol="tcp", listen_port=-1, port_name="x"), id="port"
        ),
    ],
)
async def test_a_bug_in_one_backend_affects_no_other_and_is_logged_once(
    gateway: Gateway, first: Upstream, caplog: pytest.LogCaptureFixture, broken: Backend
) -> None:
    with caplog.at_level(logging.ERROR, "bateau.traffic"):
        for _ in range(3):
            await gateway.publish(broken, model("chat", first.endpoint()))
    assert "bug in bateau" in gateway.plane.observe().rejected["model/broken"]
    assert (await gateway.chat()).status == 200
    (record,) = caplog.records
    assert record.exc_info, "a bug is logged with its traceback"


async def test_a_rejected_listener_is_forgotten_once_its_app_is_gone(
    gateway: Gateway, first: Upstream, taken: int
) -> None:
    chat = model("chat", first.endpoint())
    await gateway.publish(chat, _app(taken, first))
    assert "cannot bind" in gateway.plane.observe().rejected["app/shop"]
    await gateway.publish(chat)
    assert gateway.plane.observe().rejected == {}


async def test_a_rejected_listener_is_tried_again_without_a_change(
    gateway: Gateway, first: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envoy_plane, "_RETRY_S", 0.2)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        port = int(holder.getsockname()[1])
        await gateway.publish(_app(port, first))
        assert list(gateway.plane.observe().rejected) == ["app/shop"]

    async def forgotten() -> bool:
        return not gateway.plane.observe().rejected

    await eventually(forgotten)
    assert (await gateway.ask("GET", f"http://127.0.0.1:{port}/")).status == 200


async def test_a_port_for_the_models_that_is_taken_is_told_of_the_gateway(first: Upstream, taken: int) -> None:
    made = Gateway()
    made.port = taken
    made.plane = made.new_plane()
    try:
        made.plane.publish(made.traffic(model("chat", first.endpoint())))
        await made.open()
        rejected = await eventually(lambda: _rejected(made))
        assert list(rejected) == ["gateway/envoy"]
        assert "cannot bind" in rejected["gateway/envoy"]
    finally:
        await made.close()


async def test_a_stopped_proxy_blocks_nothing(gateway: Gateway, first: Upstream, second: Upstream) -> None:
    """Issue 8: a stopped Envoy held the control loop for up to 40 s."""
    await gateway.publish(model("chat", first.endpoint()))
    gateway.send(REPLICA, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        for number in range(30):
            gateway.plane.publish(gateway.traffic(model("chat", second.endpoint()), model(f"m-{number}")))
        assert time.monotonic() - begun < ANSWER_S, "it waits for nobody; an attempt to reach the proxy takes longer"
        state = gateway.plane.observe()
        assert (state.accepted, state.load) == (False, None)
        # Another proxy gets everything at once.
        other = await gateway.start("gateway.envoy.1")
        assert "model/m-29" in (await other.admin.text("/clusters") or "")
        await gateway.end("gateway.envoy.1")
    finally:
        gateway.send(REPLICA, signal.SIGCONT)
    await gateway.publish(model("chat", second.endpoint()))
    assert (await gateway.chat()).tree == {"upstream": second.name}


def _app(port: int, *upstreams: Upstream) -> Backend:
    endpoints = tuple(each.endpoint() for each in upstreams)
    return Backend(
        service="app/shop", name="shop", protocol="http", endpoints=endpoints, listen_port=port, port_name="http"
    )


async def _rejected(gateway: Gateway) -> Any:
    return gateway.plane.observe().rejected
