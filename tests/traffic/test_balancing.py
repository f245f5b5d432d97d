"""Requests are balanced by those in flight, retried if nothing was sent back, and survive every change."""

import asyncio
from collections import Counter

import pytest
from aiohttp import web

from bateau.domain.endpoint import Endpoint
from traffic.gateway import Gateway, eventually, model
from traffic.load import Load
from traffic.upstream import Stream, Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_request_goes_where_fewest_are_in_flight(gateway: Gateway, first: Upstream, second: Upstream) -> None:
    stream = Stream()
    first.answer = stream.answer
    await gateway.publish(model("chat", first.endpoint()))
    async with gateway.session.post("/v1/chat/completions", json={"model": "chat"}) as response:
        await stream.begun.wait()
        await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
        answers = [await gateway.chat() for _ in range(20)]
        assert Counter(answer.tree["upstream"] for answer in answers) == {"model.chat.1": 20}
        stream.end()
        await response.read()


async def test_a_refused_connection_is_tried_at_another_replica(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    await second.close()
    await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
    assert [(await gateway.chat()).status for _ in range(20)] == [200] * 20


async def test_a_dead_replica_costs_no_request_while_all_others_are_busy(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    stream, at_once = Stream(), first.answer
    first.answer = stream.answer
    await gateway.publish(model("chat", first.endpoint()))
    async with gateway.session.post("/v1/chat/completions", json={"model": "chat"}) as response:
        await stream.begun.wait()
        first.answer = at_once
        await second.close()
        await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
        # The dead replica has the fewest requests in flight, so each request is tried there first.
        assert [(await gateway.chat()).status for _ in range(20)] == [200] * 20
        stream.end()
        await response.read()


async def test_a_503_is_tried_at_another_replica_with_the_whole_body(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    async def loading(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "Loading model"}}, status=503)

    second.answer = loading
    await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
    assert [(await gateway.chat()).status for _ in range(20)] == [200] * 20
    assert second.seen, "chance sent nothing to the replica that refuses"
    assert {seen.body for seen in second.seen} == {seen.body for seen in first.seen}


async def test_a_replica_that_breaks_before_its_first_byte_is_tried_again_elsewhere(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    async def die(request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.abort()
        return web.Response()

    second.answer = die
    await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
    assert [(await gateway.chat()).status for _ in range(20)] == [200] * 20
    assert second.seen, "chance sent nothing to the replica that dies"


@pytest.mark.parametrize("status", [400, 404, 429, 500])
async def test_what_a_replica_has_answered_is_not_asked_again(
    gateway: Gateway, first: Upstream, second: Upstream, status: int
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=status)

    first.answer = second.answer = refuse
    await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
    assert (await gateway.chat()).status == status
    assert len(first.seen) + len(second.seen) == 1


async def test_endpoints_that_come_and_go_under_load_lose_no_request(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    async with Load(gateway) as load:
        for _ in range(5):
            await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
            await load.more(20)
            await gateway.publish(model("chat", first.endpoint(draining=True), second.endpoint()))
            await load.more(20)
            await gateway.publish(model("chat", second.endpoint()))
            await load.more(20)
            await gateway.publish(model("chat", first.endpoint()))
            await load.more(20)
    assert load.tally.bad == []
    assert first.seen
    assert second.seen


async def test_a_replica_that_is_drained_and_stopped_under_load_loses_no_request(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    async def slowly(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return web.json_response({})

    first.answer = second.answer = slowly
    await gateway.publish(model("chat", first.endpoint(), second.endpoint()))
    async with Load(gateway) as load:
        await load.more(20)
        await gateway.publish(model("chat", first.endpoint(draining=True), second.endpoint()))

        async def drained() -> bool:
            return await gateway.in_flight(first.name) == 0

        await eventually(drained)
        await first.close()
        await gateway.publish(model("chat", second.endpoint()))
        await load.more(20)
    assert load.tally.bad == []
    assert first.cut_off == 0


async def test_services_that_come_and_go_under_load_lose_no_request_of_others(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    chat = model("chat", first.endpoint())
    await gateway.publish(chat)
    async with Load(gateway) as load:
        for number in range(8):
            name = f"other-{number % 2}"
            await gateway.publish(chat, model(name, second.endpoint()))
            # Whoever was told of the service can use it at once: its cluster was there before its route.
            assert (await gateway.chat(name)).status == 200
            await gateway.publish(chat)
            assert (await gateway.chat(name)).status == 404
    assert load.tally.bad == []


async def test_many_services_are_published_in_one_go(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(*(model(f"m-{number}", first.endpoint()) for number in range(200)))
    assert len((await gateway.ask("GET", "/v1/models")).tree["data"]) == 200
    assert (await gateway.chat("m-199")).status == 200


async def test_a_replica_on_a_loopback_port_is_served_too(gateway: Gateway) -> None:
    async with upstream("model.chat.9") as tcp:
        await gateway.publish(model("chat", tcp.endpoint()))
        assert (await gateway.chat()).tree == {"upstream": "model.chat.9"}


async def test_a_replica_whose_socket_comes_later_is_served_from_then_on(gateway: Gateway) -> None:
    socket = gateway.base / "later.sock"
    await gateway.publish(model("chat", Endpoint(replica="model.chat.7", address=str(socket))))
    assert (await gateway.chat()).status == 503
    async with upstream("model.chat.7", socket):
        assert (await gateway.chat()).tree == {"upstream": "model.chat.7"}
