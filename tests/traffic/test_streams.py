"""Streams pass chunk by chunk, a client that leaves is noticed over there, and what drains is left in peace."""

import asyncio

import pytest
from aiohttp import ClientError, web

from bateau.domain.endpoint import Backend
from traffic.gateway import Gateway, eventually, model
from traffic.upstream import Stream, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
ASK = {"model": "chat", "stream": True}


async def test_chunks_arrive_as_they_are_sent(gateway: Gateway, first: Upstream) -> None:
    stream = Stream()
    first.answer = stream.answer
    await gateway.publish(model("chat", first.endpoint()))
    async with gateway.session.post(CHAT, json=ASK) as response:
        assert response.headers["content-type"] == "text/event-stream"
        for number in range(5):
            stream.send(f"data: {number}\n\n".encode())
            # The next is not sent before this one is here: had it been buffered, the test would end in a timeout.
            assert await response.content.readuntil(b"\n\n") == f"data: {number}\n\n".encode()
        stream.end()
        assert await response.content.read() == b""


async def test_a_client_that_leaves_is_noticed_by_the_replica(gateway: Gateway, first: Upstream) -> None:
    stream = Stream()
    first.answer = stream.answer
    await gateway.publish(model("chat", first.endpoint()))
    response = await gateway.session.post(CHAT, json=ASK)
    stream.send(b"data: 0\n\n")
    await response.content.readuntil(b"\n\n")
    response.close()
    await eventually(lambda: _is(first.cut_off == 1))
    assert await eventually(lambda: _none_in_flight(gateway, first))


async def test_a_client_that_leaves_before_the_first_byte_is_noticed_too(gateway: Gateway, first: Upstream) -> None:
    stream = Stream()

    async def think(request: web.Request) -> web.StreamResponse:
        stream.begun.set()
        return await _never(request)

    first.answer = think
    await gateway.publish(model("chat", first.endpoint()))
    asking = asyncio.create_task(gateway.chat())
    await stream.begun.wait()
    asking.cancel()
    await eventually(lambda: _is(first.cut_off == 1))


async def test_a_draining_replica_gets_nothing_new_while_its_stream_ends_and_is_counted(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    stream = Stream()
    first.answer = stream.answer
    await gateway.publish(model("chat", first.endpoint()))
    async with gateway.session.post(CHAT, json=ASK) as response:
        stream.send(b"data: 0\n\n")
        await response.content.readuntil(b"\n\n")
        await gateway.publish(model("chat", first.endpoint(draining=True), second.endpoint()))
        for _ in range(20):
            assert (await gateway.chat()).tree == {"upstream": "model.chat.1"}
        assert len(first.seen) == 1
        assert await gateway.in_flight("model.chat.0") == 1
        stream.send(b"data: [DONE]\n\n")
        stream.end()
        assert await response.content.read() == b"data: [DONE]\n\n"
    assert await eventually(lambda: _none_in_flight(gateway, first))


async def test_with_nobody_else_ready_a_draining_replica_still_gets_nothing_new(
    gateway: Gateway, first: Upstream
) -> None:
    await gateway.publish(model("chat", first.endpoint(draining=True)))
    answer = await gateway.chat()
    assert (answer.status, answer.error["code"]) == (503, "no_ready_replica")
    assert not first.seen


async def test_a_service_that_leaves_is_unknown_at_once_while_its_stream_ends_and_is_counted(
    gateway: Gateway, first: Upstream
) -> None:
    stream = Stream()
    first.answer = stream.answer
    await gateway.publish(model("chat", first.endpoint()))
    async with gateway.session.post(CHAT, json=ASK) as response:
        stream.send(b"data: 0\n\n")
        await response.content.readuntil(b"\n\n")
        leaving = Backend(
            service="model/chat", name="chat", protocol="leaving", endpoints=(first.endpoint(draining=True),)
        )
        await gateway.publish(leaving)
        assert (await gateway.chat()).status == 404
        assert await gateway.in_flight("model.chat.0") == 1
        stream.send(b"data: [DONE]\n\n")
        stream.end()
        assert await response.content.read() == b"data: [DONE]\n\n"
    assert await eventually(lambda: _none_in_flight(gateway, first))


async def test_a_stream_that_breaks_after_its_first_byte_is_not_sent_again(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"data: 0\n\n")
        assert request.transport
        request.transport.abort()
        return response

    first.answer = second.answer = break_off
    await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
    with pytest.raises(ClientError):
        async with gateway.session.post(CHAT, json=ASK) as response:
            await response.read()
    assert len(first.seen) + len(second.seen) == 1


async def _is(value: bool) -> bool:
    return value


async def _never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _none_in_flight(gateway: Gateway, upstream: Upstream) -> bool:
    return await gateway.in_flight(upstream.name) == 0
