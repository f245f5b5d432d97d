"""The turns of a conversation reach one replica, while it is there and not too busy; others go where it is quiet."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from bateau.domain.endpoint import Backend, ExternalTarget, Hold
from bateau.domain.used import Used
from bateau.domain.workload import Routing
from bateau.store.ledger import Ledger
from traffic.gateway import Gateway, eventually, model, native_library, running_gateway
from traffic.upstream import Stream, Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway(native_library()) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def replicas(gateway: Gateway) -> AsyncIterator[list[Upstream]]:
    await gateway.publish()  # Envoy remembers for a second which endpoints of the test before refused it
    async with AsyncExitStack() as stack:
        names = [f"model.chat.{number}" for number in range(3)]
        yield [await stack.enter_async_context(upstream(name, gateway.base / f"{name}.sock")) for name in names]


def affine(*endpoints: Any, on: bool = True, **more: Any) -> Backend:
    return model("chat", *endpoints, routing=Routing(affinity="prefix"), affinity=on, **more)


def turn(conversation: object, number: int = 0, **more: Any) -> dict[str, Any]:
    """Return the body of one turn: each begins as the one before."""
    later = [{"role": role, "content": f"{each}"} for each in range(number) for role in ("assistant", "user")]
    begins = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": f"{conversation}"}]
    return {"model": "chat", "messages": [*begins, *later], **more}


async def asked(gateway: Gateway, body: dict[str, Any], path: str = CHAT) -> str:
    """Return which replica answers; of the few that are balanced without affinity, another one is asked."""
    while True:
        answer = await gateway.ask("POST", path, json=body)
        assert answer.status == 200, answer
        balanced_by = (await line(gateway, answer.headers["x-request-id"])).balanced_by
        assert balanced_by in {"prefix", "requests"}
        if balanced_by == "prefix":
            return str(answer.tree["upstream"])


async def line(gateway: Gateway, request: str) -> Used:
    ledger = Ledger(gateway.base)

    async def written() -> Used | None:
        return next((used for used in ledger.read(since=0, until=2**40) if used.id == request), None)

    found: Used = await eventually(written)
    return found


async def homes(gateway: Gateway, conversations: int) -> list[str]:
    return [await asked(gateway, turn(number)) for number in range(conversations)]


async def test_the_turns_of_a_conversation_reach_one_replica(gateway: Gateway, replicas: list[Upstream]) -> None:
    await gateway.publish(affine(*(each.endpoint() for each in replicas)))
    first = await homes(gateway, 24)
    assert set(first) == {each.name for each in replicas}
    for number in range(1, 4):
        assert [await asked(gateway, turn(each, number)) for each in range(24)] == first


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        ("/v1/completions", {"prompt": "a" * 1100}, {"prompt": "a" * 1200}),
        ("/v1/responses", {"instructions": "S", "input": "U"}, {"input": [{"role": "user", "content": "U"}]}),
        ("/v1/messages", {"system": "S", "messages": [{"role": "user", "content": "U"}]}, {}),
    ],
)
async def test_each_api_has_conversations(
    gateway: Gateway, replicas: list[Upstream], path: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    await gateway.publish(affine(*(each.endpoint() for each in replicas)))
    bodies = [{"model": "chat", **first}, {"model": "chat", **first, **second}]
    assert len({await asked(gateway, body, path) for body in bodies for _ in range(5)}) == 1


async def test_other_requests_go_where_fewest_are_in_flight(gateway: Gateway, replicas: list[Upstream]) -> None:
    """Those of another task, and those without a user message."""
    busy, quiet = replicas[:2]
    await gateway.publish(affine(busy.endpoint()))
    async with held(gateway, busy, turn(0)):
        await gateway.publish(affine(busy.endpoint(), quiet.endpoint()))
        bodies: list[tuple[str, dict[str, Any]]]
        bodies = [
            ("/v1/embeddings", {"input": "x"}),
            (CHAT, {"messages": [{"role": "system", "content": "x"}]}),
            (CHAT, {}),
        ]
        for path, body in bodies:
            for _ in range(10):
                answer = await gateway.ask("POST", path, json={"model": "chat", **body})
                assert answer.tree["upstream"] == quiet.name
                assert (await line(gateway, answer.headers["x-request-id"])).balanced_by is None


async def test_a_busy_replica_gets_no_more_than_one_and_a_half_times_its_share(
    gateway: Gateway, replicas: list[Upstream]
) -> None:
    await gateway.publish(affine(*(each.endpoint() for each in replicas)))
    stream = Stream()
    for each in replicas:
        each.answer = stream.answer
    asking: list[asyncio.Task[Any]] = []
    for number in range(1, 31):
        asking.append(asyncio.create_task(gateway.ask("POST", CHAT, json=turn(0))))
        await eventually(lambda number=number: _seen(replicas, number))
    counts = sorted(len(each.seen) for each in replicas)
    for _ in asking:
        stream.end()
    await asyncio.gather(*asking)
    assert sum(counts) == 30
    assert counts[-1] <= 16, "1.5 times 31 requests / 3 replicas, rounded up"
    assert counts[-1] >= 12, counts


async def test_a_replica_that_drains_passes_on_its_conversations_and_gets_them_back(
    gateway: Gateway, replicas: list[Upstream]
) -> None:
    await gateway.publish(affine(*(each.endpoint() for each in replicas)))
    before = await homes(gateway, 12)
    gone = replicas[1]
    await gateway.publish(affine(*(each.endpoint(draining=each is gone) for each in replicas)))
    during = await homes(gateway, 12)
    assert [home for home in during if home == gone.name] == []
    assert all(was == gone.name for was, now in zip(before, during, strict=True) if was != now)
    await gateway.publish(affine(*(each.endpoint() for each in replicas)))
    assert await homes(gateway, 12) == before


async def test_a_new_replica_moves_only_the_conversations_that_it_gets(
    gateway: Gateway, replicas: list[Upstream]
) -> None:
    await gateway.publish(affine(*(each.endpoint() for each in replicas[:2])))
    before = await homes(gateway, 24)
    await gateway.publish(affine(*(each.endpoint() for each in replicas)))
    after = await homes(gateway, 24)
    assert {now for was, now in zip(before, after, strict=True) if was != now} == {replicas[2].name}
    assert 1 <= sum(was != now for was, now in zip(before, after, strict=True)) <= 16


async def test_a_dead_replica_costs_no_request(gateway: Gateway, replicas: list[Upstream]) -> None:
    await gateway.publish(affine(*(each.endpoint() for each in replicas)))
    home = await asked(gateway, turn(0))
    await next(each for each in replicas if each.name == home).close()
    assert home not in [await asked(gateway, turn(0, number)) for number in range(20)]


async def test_a_replica_that_refuses_or_breaks_is_asked_once(gateway: Gateway, replicas: list[Upstream]) -> None:
    await gateway.publish(affine(*(each.endpoint() for each in replicas)))
    home_name = await asked(gateway, turn(0))
    home = next(each for each in replicas if each.name == home_name)

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=503)

    async def die(request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.abort()
        return web.Response()

    for wrong in (refuse, die):
        home.answer = wrong
        home.seen.clear()
        others = [await asked(gateway, turn(0, number)) for number in range(3)]
        assert home.name not in others
        assert len(set(others)) == 1, "the second of the conversation"
        assert len(home.seen) <= len(others) + 2, "each request is sent there once; a few are not balanced by prefix"


async def test_it_is_turned_off_and_on_without_replacing_the_cluster(
    gateway: Gateway, replicas: list[Upstream]
) -> None:
    endpoints = [each.endpoint() for each in replicas]
    await gateway.publish(affine(*endpoints))
    home = await asked(gateway, turn(0))
    before = await gateway.stat("cluster_manager.cluster_modified")
    await gateway.publish(affine(*endpoints, on=False))
    answers = [await gateway.ask("POST", CHAT, json=turn(0)) for _ in range(40)]
    assert len({answer.tree["upstream"] for answer in answers}) == 3
    assert (await line(gateway, answers[-1].headers["x-request-id"])).balanced_by is None
    await gateway.publish(model("chat", *endpoints))
    await gateway.publish(affine(*endpoints))
    assert await asked(gateway, turn(0)) == home
    assert await gateway.stat("cluster_manager.cluster_modified") == before


async def test_one_request_in_sixteen_is_balanced_without_it(gateway: Gateway, replicas: list[Upstream]) -> None:
    busy, quiet = replicas[:2]
    conversation = 0
    await gateway.publish(affine(busy.endpoint(), quiet.endpoint()))
    while await asked(gateway, turn(conversation)) != busy.name:
        conversation += 1
    await gateway.publish(affine(busy.endpoint()))
    async with held(gateway, busy, turn(conversation)):
        await gateway.publish(affine(busy.endpoint(), quiet.endpoint()))
        answers = [await gateway.ask("POST", CHAT, json=turn(conversation)) for _ in range(200)]
        found = [(await line(gateway, each.headers["x-request-id"])) for each in answers[-1:]]
        assert found
    lines = {used.id: used for used in Ledger(gateway.base).read(since=0, until=2**40)}
    kinds = Counter((lines[each.headers["x-request-id"]].balanced_by, each.tree["upstream"]) for each in answers)
    assert set(kinds) == {("prefix", busy.name), ("requests", quiet.name)}
    assert 2 <= kinds["requests", quiet.name] <= 40, kinds


async def test_neither_a_client_nor_a_provider_has_to_do_with_the_header(
    gateway: Gateway, replicas: list[Upstream]
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=503)

    first = replicas[0]
    async with upstream("provider") as provider:
        target = ExternalTarget(url=f"http://{provider.address}/v1", api_key="sk-x")
        chat = affine(first.endpoint())
        chat = replace(chat, routing=replace(chat.routing, fallback="big"))
        await gateway.publish(chat, model("big", external=target))
        forged = {"x-bateau-prefix": "0000000000000000"}
        while not any("x-bateau-prefix" in seen.headers for seen in first.seen):
            await gateway.ask("POST", CHAT, json=turn(0), headers=forged)
        assert all(seen.headers.get("x-bateau-prefix") != forged["x-bateau-prefix"] for seen in first.seen)
        first.answer = refuse
        assert [(await gateway.ask("POST", CHAT, json=turn(0))).tree for _ in range(4)] == [
            {"upstream": "provider"}
        ] * 4
        assert all("x-bateau-prefix" not in seen.headers for seen in provider.seen)


async def test_requests_that_waited_for_a_sleeping_model_are_balanced_by_their_conversations(
    gateway: Gateway, replicas: list[Upstream]
) -> None:
    endpoints = [each.endpoint() for each in replicas]
    await gateway.publish(affine(*endpoints))
    before = [await asked(gateway, turn(number)) for number in range(12)]
    await gateway.publish(affine(generation=0, hold=Hold(requests_max=64, wait_s=30.0, says="it sleeps")))
    waiting = [asyncio.create_task(asked(gateway, turn(number))) for number in range(12)]

    async def wakes() -> bool:
        return gateway.plane.observe().asked.get("model/chat") == 0

    await eventually(wakes)
    await gateway.publish(affine(*endpoints, generation=0))
    after = await asyncio.gather(*waiting)
    # All are chosen at once, so the bound moves some of them.
    assert sum(was == now for was, now in zip(before, after, strict=True)) >= 8


@asynccontextmanager
async def held(gateway: Gateway, replica: Upstream, body: dict[str, Any]) -> AsyncGenerator[None]:
    """Keep a request in flight at a replica for the length of a block."""
    stream, at_once = Stream(), replica.answer
    replica.answer = stream.answer
    async with gateway.session.post(CHAT, json=body) as response:
        await stream.begun.wait()
        replica.answer = at_once
        yield
        stream.end()
        await response.read()


async def _seen(replicas: list[Upstream], number: int) -> bool:
    return sum(len(each.seen) for each in replicas) >= number
