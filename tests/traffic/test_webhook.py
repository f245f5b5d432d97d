"""Webhooks and events go through the gateway as they come: nobody looks for a model, and nothing is buffered."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from traffic.gateway import Gateway, model
from traffic.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = ("/-/webhooks/git", "/-/events")
JSON = {"content-type": "application/json", "x-hub-signature-256": "sha256=ab"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b'{"ref": "refs/heads/main"}', b'{"model": "chat"}', b"no JSON", b""])
async def test_any_body_arrives_as_it_was_sent(gateway: Gateway, first: Upstream, body: bytes, path: str) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    async with upstream("control", gateway.base / "control.sock") as api:
        assert (await gateway.ask("POST", path, data=body, headers=JSON)).status == 200
    (seen,) = api.seen
    assert (seen.body, seen.headers["x-hub-signature-256"]) == (body, "sha256=ab")
    assert "x-bateau-model" not in seen.headers
    assert not first.seen


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_is_passed_on_while_it_comes(gateway: Gateway, path: str) -> None:
    begun, more = asyncio.Event(), asyncio.Event()

    async def read(request: web.Request) -> web.Response:
        await request.content.readany()
        begun.set()
        return web.json_response({"bytes": len(await request.content.read()) + 1})

    async def parts() -> AsyncIterator[bytes]:
        yield b"{"
        await more.wait()
        yield b"}"

    app = web.Application()
    app.router.add_post(path, read)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(gateway.base / "control.sock")).start()
    try:
        asking = asyncio.ensure_future(gateway.ask("POST", path, data=parts(), headers=JSON))
        await asyncio.wait_for(begun.wait(), 10)
        more.set()
        assert (await asking).tree == {"bytes": 2}
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_control_plane_the_sender_is_told_to_come_again(gateway: Gateway, path: str) -> None:
    answer = await gateway.ask("POST", path, data=b"{}", headers=JSON)
    assert (answer.status, answer.error["type"]) == (503, "server_error")
    assert answer.headers["retry-after"] == "2"
