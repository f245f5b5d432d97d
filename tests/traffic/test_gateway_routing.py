"""Limits, other models and timeouts at the gateway of a cluster, with the traffic that a controller makes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import web

from bateau.control import cluster_traffic as module
from bateau.control.cluster_traffic import Space
from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import Traffic
from bateau.domain.replica import Replica
from bateau.kit.json_value import Json
from control.test_cluster_traffic import pod, space
from control.test_declared import MODEL
from traffic.gateway import eventually
from traffic.test_gateway import Installation, accepted, installed
from traffic.test_gateway_keys import OTHER, SECRET, error, key
from traffic.upstream import Upstream, upstream


def at_address(of: Upstream, service: str) -> Replica:
    return replace(pod(of.name, service), addresses={"http": of.address})


def traffic(*spaces: Space) -> Traffic:
    made, failed = module.cluster_traffic(spaces, Traffic())
    assert not failed
    return made


@asynccontextmanager
async def serving(
    *, keys: tuple[ApiKey, ...] | None = None, **fields: Json
) -> AsyncGenerator[tuple[Installation, Upstream, Upstream]]:
    """Give a gateway, and the pods of the models `shop/chat`, which has some fields, and `shop/spare`."""
    async with installed() as (at, chat), upstream("spare") as spare:
        await at.start()
        plane = at.control()
        plane.admit(keys)
        pods = (at_address(chat, "model/chat"), at_address(spare, "model/spare"))
        plane.publish(traffic(space("shop", "1", *pods, model_chat={**MODEL, **fields}, model_spare=MODEL)))

        async def answers() -> bool:
            return (await error(at, "spare"))[0] == (401 if keys else 200)

        await eventually(answers)
        await accepted(plane)
        yield at, chat, spare


async def test_a_limit_is_exact_and_counts_for_both_names():
    async with serving(limits={"requestsPerMinute": 3}) as (at, chat, _):
        answers = [await error(at, name) for name in ("chat", "shop/chat") * 3]
        assert [status for status, _ in answers] == [200, 200, 200, 429, 429, 429]
        assert answers[-1] == (429, "rate_limit_exceeded")
        assert len(chat.seen) == 3
        assert (await error(at, "spare"))[0] == 200


async def test_a_limit_of_each_key_is_its_own():
    async with serving(limits={"perKey": {"requestsPerMinute": 1}}, keys=(key("a", SECRET), key("b", OTHER))) as (
        at,
        chat,
        _,
    ):
        answers = [await error(at, name, secret) for secret in (SECRET, OTHER) for name in ("chat", "shop/chat")]
        assert [status for status, _ in answers] == [200, 429, 200, 429]
        assert len(chat.seen) == 2


async def test_another_model_of_the_namespace_answers_and_gets_its_part():
    async with serving(fallback="spare") as (at, chat, spare):

        async def broken(_: web.Request) -> web.Response:
            return web.json_response({"error": {}}, status=503)

        assert await at.ask("chat") == (200, "shop/chat-1")
        chat.answer = broken
        for name in ("chat", "shop/chat"):
            assert await at.ask(name) == (200, "spare")
        assert spare.seen[-1].model == "spare"
    async with serving(split={"spare": 100}) as (at, chat, _):
        assert await at.ask("chat") == (200, "spare")
        assert not chat.seen


async def test_an_answer_that_takes_too_long_is_given_up():
    async with serving(timeout="300ms") as (at, chat, _):

        async def slow(_: web.Request) -> web.Response:
            await asyncio.sleep(5)
            return web.json_response({})

        chat.answer = slow
        assert (await error(at, "chat"))[0] == 504
