"""The control API over its real socket: what the server says is what the client gets, and a silence has a hint."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest

from bateau.api.client import ApiClient
from bateau.api.server import ApiServer
from bateau.control.snapshots import Snapshots
from bateau.domain.errors import ControlError
from bateau.domain.status import Status
from control.world import app, model, world


@contextlib.asynccontextmanager
async def serving(path: Path, status: Status) -> AsyncGenerator[asyncio.Event, None]:
    async def metrics() -> str:
        return "# HELP x X.\n# TYPE x gauge\nx 1\n"

    stop = asyncio.Event()
    snapshots = Snapshots()
    snapshots.take(status)
    server = ApiServer(path, snapshots=snapshots, metrics=metrics, stop=stop)
    await server.open()
    try:
        yield stop
    finally:
        await server.close()


async def a_status() -> Status:
    async with world(chat=model(replicas=2), shop=app()) as w:
        await w.until(lambda: w.status.settled)
        return w.status


async def test_the_client_gets_the_status_in_camel_case(folder: Path) -> None:
    path = folder / "control.sock"
    async with serving(path, await a_status()):
        tree = await asyncio.to_thread(ApiClient(path, instance="default").status)
    assert tree["settled"] is True
    shop, chat = tree["services"]
    assert (chat["service"], chat["state"], chat["replicasWanted"], chat["replicasReady"]) == (
        "model/chat",
        "Ready",
        2,
        2,
    )
    assert chat["capacity"] and (chat["capacity"]["memoryBytes"] or 0) > 0
    assert [replica["id"] for replica in chat["replicas"]] == ["model.chat.0", "model.chat.1"]
    assert shop["capacity"] is None
    assert shop["pulledBytes"] is None, "what is not known is null, not zero"
    assert tree["gateway"]["service"] == "gateway/envoy"


async def test_stop_is_passed_on(folder: Path) -> None:
    path = folder / "control.sock"
    async with serving(path, await a_status()) as stop:
        assert not stop.is_set()
        await asyncio.to_thread(ApiClient(path, instance="default").stop)
        assert stop.is_set()


async def test_metrics_are_in_the_text_format(folder: Path) -> None:
    path = folder / "control.sock"
    async with (
        serving(path, await a_status()),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://control/metrics") as response,
    ):
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert (await response.text()).endswith("x 1\n")


async def test_only_its_user_can_open_the_socket_and_it_goes_with_the_server(folder: Path) -> None:
    path = folder / "control.sock"
    async with serving(path, await a_status()):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


async def test_a_socket_that_a_dead_server_left_is_replaced(folder: Path) -> None:
    path = folder / "control.sock"
    _leave_behind(path)
    async with serving(path, await a_status()):
        assert await asyncio.to_thread(ApiClient(path, instance="default").answers)


@pytest.mark.parametrize("left", [False, True], ids=["no socket", "a dead one's socket"])
def test_without_a_control_plane_the_hint_says_how_to_start_one(folder: Path, left: bool) -> None:
    path = folder / "control.sock"
    if left:
        _leave_behind(path)
    client = ApiClient(path, instance="default")
    assert not client.answers()
    with pytest.raises(ControlError) as caught:
        client.status()
    assert caught.value.message == "no control plane answers for default"
    assert caught.value.hint == "start one with `bateau up`"


async def test_an_answer_that_is_none_is_an_error_and_no_traceback(folder: Path) -> None:
    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n\r\n")
        writer.close()

    path = folder / "control.sock"
    async with await asyncio.start_unix_server(nonsense, path):
        with pytest.raises(ControlError):
            await asyncio.to_thread(ApiClient(path, instance="default").status)


def _leave_behind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
