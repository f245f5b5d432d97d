"""A2: a replica of a model never gets so many requests that its probe waits behind them."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import ClientSession, TCPConnector, web

from bateau.traffic.envoy import clusters
from traffic.gateway import Answer, Gateway, eventually, model
from traffic.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Each worker of Envoy may open one connection more.
WORKERS = 2
LLAMACPP_THREADS = 512


class Busy:
    """An answer that comes when the test says so, and counts how many wait for it."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.go = asyncio.Event()

    async def answer(self, _: web.Request) -> web.StreamResponse:
        self.now += 1
        self.most = max(self.most, self.now)
        await self.go.wait()
        self.now -= 1
        return web.json_response({})


def ask_many(gateway: Gateway, count: int, client: ClientSession) -> "asyncio.Future[list[Answer]]":
    async def one() -> Answer:
        async with client.post(f"{gateway.url}/v1/chat/completions", json={"model": "chat"}) as response:
            return Answer(status=response.status, headers=response.headers, body=await response.read())

    return asyncio.ensure_future(asyncio.gather(*(one() for _ in range(count))))


async def test_600_requests_at_once_are_all_answered_and_leave_the_probe_a_thread(
    gateway: Gateway, first: Upstream
) -> None:
    busy = Busy()
    first.answer = busy.answer
    await gateway.publish(model("chat", first.endpoint()))
    async with ClientSession(connector=TCPConnector(limit=0)) as client:
        asking = ask_many(gateway, 600, client)
        await eventually(lambda: _is(busy.now >= clusters.REPLICA_CONNECTIONS_MAX))
        await asyncio.sleep(0.5)
        # Two gateways, while one replaces the other, leave some threads too.
        assert 2 * busy.most < LLAMACPP_THREADS
        busy.go.set()
        assert {answer.status for answer in await asking} == {200}


async def test_what_is_beyond_the_bound_is_told_to_come_again(
    gateway: Gateway, first: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "REPLICA_CONNECTIONS_MAX", 4)
    monkeypatch.setattr(clusters, "WAITING_MAX", 8)
    busy = Busy()
    first.answer = busy.answer
    await gateway.publish(model("chat", first.endpoint(), created=1))
    async with ClientSession(connector=TCPConnector(limit=0)) as client:
        asking = ask_many(gateway, 40, client)
        await eventually(lambda: _is(busy.now >= 4))
        await asyncio.sleep(0.5)
        busy.go.set()
        answers = await asking
    assert busy.most <= 4 + WORKERS
    rejected = [answer for answer in answers if answer.status == 503]
    assert {answer.status for answer in answers} == {200, 503}
    # Requests also wait while their connection is being opened: if all 40 arrive in that time, only 8 are accepted.
    assert len(answers) - len(rejected) >= 8
    for answer in rejected:
        assert (answer.error["code"], answer.headers["retry-after"]) == ("overloaded", "2")
        assert "'chat' has too many requests" in answer.error["message"]


async def test_requests_go_to_the_replica_with_room_and_do_not_wait_for_the_other(
    gateway: Gateway, first: Upstream, second: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "REPLICA_CONNECTIONS_MAX", 4)
    busy = Busy()
    first.answer = busy.answer
    await gateway.publish(model("chat", first.endpoint(), created=2))
    async with ClientSession(connector=TCPConnector(limit=0)) as client:
        asking = ask_many(gateway, 4, client)
        await eventually(lambda: _is(busy.now >= 4))
        await gateway.publish(model("chat", first.endpoint(), second.endpoint(), created=2))
        assert [(await gateway.chat()).tree for _ in range(8)] == [{"upstream": second.name}] * 8
        busy.go.set()
        await asking


async def test_a_bound_of_a_model_counts_what_is_in_flight_on_all_replicas_exactly(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    busy = Busy()
    first.answer = second.answer = busy.answer
    await gateway.publish(model("chat", first.endpoint(), second.endpoint(), requests_max=12))
    async with ClientSession(connector=TCPConnector(limit=0)) as client:
        asking = ask_many(gateway, 30, client)
        await eventually(lambda: _is(busy.now == 12))
        await asyncio.sleep(0.3)
        busy.go.set()
        answers = await asking
        assert sorted(answer.status for answer in answers) == [200] * 12 + [503] * 18
        assert {each.headers["retry-after"] for each in answers if each.status == 503} == {"2"}
        assert {each.status for each in await ask_many(gateway, 12, client)} == {200}


async def test_a_service_that_leaves_keeps_its_cluster_and_with_it_its_counts(
    gateway: Gateway, first: Upstream
) -> None:
    chat = model("chat", first.endpoint())
    assert clusters.cluster(replace(chat, protocol="leaving")) == clusters.cluster(chat)
    assert gateway.url


async def _is(value: bool) -> bool:
    return value
