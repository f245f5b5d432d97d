"""Another model answers a part of the requests, or all that a model cannot answer itself."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiohttp import web

from bateau.domain.endpoint import Backend, ExternalTarget, Hold
from bateau.domain.workload import Routing
from traffic.gateway import Gateway, model
from traffic.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-of-the-provider"
TO_BIG = Routing(fallback="big")


@pytest_asyncio.fixture(loop_scope="module")
async def provider() -> AsyncIterator[Upstream]:
    async with upstream("provider") as made:
        yield made


def big(provider: Upstream) -> Backend:
    target = ExternalTarget(url=f"http://{provider.address}/api/v9", api_key=KEY)
    return model("big", external=target, upstream_model="gpt-large")


def says(status: int) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no"}}, status=status)

    return answer


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_refusal_of_a_model_is_answered_by_its_fallback_with_the_key_and_name_that_it_has_there(
    gateway: Gateway, first: Upstream, provider: Upstream, status: int
) -> None:
    first.answer = says(status)
    await gateway.publish(model("chat", first.endpoint(), routing=TO_BIG), big(provider))
    answer = await gateway.chat(headers={"authorization": "Bearer of-the-client"})
    assert (answer.status, answer.tree) == (200, {"upstream": "provider"})
    assert len(first.seen) == 2
    (seen,) = provider.seen
    assert (seen.path, seen.headers["host"]) == ("/api/v9/chat/completions", provider.address)
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(seen.body) == {"model": "gpt-large", "messages": [{"role": "user", "content": "hello"}]}
    assert KEY not in str(first.seen)
    assert "of-the-client" not in str(first.seen + provider.seen)


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_other_answers_are_those_of_the_model(
    gateway: Gateway, first: Upstream, provider: Upstream, status: int
) -> None:
    """The request itself may be wrong, or it has had an effect; another model would not know."""
    first.answer = says(status)
    await gateway.publish(model("chat", first.endpoint(), routing=TO_BIG), big(provider))
    assert (await gateway.chat()).status == status
    assert (len(first.seen), provider.seen) == (1, [])


async def test_a_dead_replica_is_answered_for_by_the_fallback(
    gateway: Gateway, first: Upstream, provider: Upstream
) -> None:
    await first.close()
    await gateway.publish(model("chat", first.endpoint(), routing=TO_BIG), big(provider))
    assert [(await gateway.chat()).tree for _ in range(5)] == [{"upstream": "provider"}] * 5


async def test_a_model_without_replicas_is_answered_by_its_fallback(
    gateway: Gateway, first: Upstream, provider: Upstream
) -> None:
    for endpoints in ((), (first.endpoint(draining=True),)):
        await gateway.publish(model("chat", *endpoints, routing=TO_BIG), big(provider))
        assert (await gateway.chat()).tree == {"upstream": "provider"}
    await gateway.publish(model("chat", first.endpoint(), routing=TO_BIG), big(provider))
    assert (await gateway.chat()).tree == {"upstream": first.name}


async def test_a_provider_falls_back_to_a_model_of_this_machine(
    gateway: Gateway, first: Upstream, provider: Upstream
) -> None:
    provider.answer = says(429)
    target = big(provider)
    away = model("big", external=target.external, upstream_model="gpt-large", routing=Routing(fallback="chat"))
    await gateway.publish(away, model("chat", first.endpoint(), answers_for_others=True))
    assert (await gateway.chat("big")).tree == {"upstream": first.name}
    assert [seen.path for seen in provider.seen] == ["/api/v9/chat/completions"] * 2
    (seen,) = first.seen
    assert (seen.path, KEY in str(seen.headers), "authorization" in seen.headers) == (
        "/v1/chat/completions",
        False,
        False,
    )
    assert (seen.model, seen.headers["host"]) == ("chat", "localhost")


async def test_a_provider_falls_back_to_another_provider_and_no_key_goes_along(
    gateway: Gateway, provider: Upstream
) -> None:
    provider.answer = says(503)
    async with upstream("other") as other:
        target = big(provider)
        away = model("big", external=target.external, routing=Routing(fallback="other"))
        there = ExternalTarget(url=f"http://{other.address}/openai/v1")
        await gateway.publish(away, model("other", external=there, upstream_model="small"))
        assert (await gateway.chat("big")).tree == {"upstream": "other"}
        (seen,) = other.seen
        assert (seen.path, seen.headers["host"], seen.model) == ("/openai/v1/chat/completions", other.address, "small")
        assert "authorization" not in seen.headers


async def test_a_stream_that_has_begun_is_not_begun_again(
    gateway: Gateway, first: Upstream, provider: Upstream
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: {}\n\n")
        assert request.transport
        request.transport.abort()
        return response

    first.answer = cut
    await gateway.publish(model("chat", first.endpoint(), routing=TO_BIG), big(provider))
    with pytest.raises(Exception, match=r"payload|closed|disconnect"):
        await gateway.chat()
    assert provider.seen == []


async def test_a_part_of_the_requests_goes_to_another_model(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    await gateway.publish(
        model("chat", first.endpoint(), routing=Routing(split=(("next", 25),))), model("next", second.endpoint())
    )
    found: Counter[str] = Counter([(await gateway.chat()).tree["upstream"] for _ in range(400)])
    assert set(found) == {first.name, second.name}
    assert 60 <= found[second.name] <= 140  # 100 is the mean, 8.7 the standard deviation
    # The other way round nothing is divided.
    assert {(await gateway.chat("next")).tree["upstream"] for _ in range(20)} == {second.name}


async def test_a_part_that_cannot_be_answered_stays_with_the_model(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    split = Routing(split=(("next", 90), ("none", 5)))
    asleep = model("next", generation=1, hold=Hold(requests_max=1, wait_s=1.0, says=""))
    for other in (model("next"), model("next", second.endpoint(draining=True)), asleep):
        await gateway.publish(model("chat", first.endpoint(), routing=split), other)
        assert {(await gateway.chat()).tree["upstream"] for _ in range(20)} == {first.name}


async def test_a_fallback_that_does_not_exist_changes_nothing(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint(), routing=TO_BIG))
    assert (await gateway.chat()).tree == {"upstream": first.name}
    await gateway.publish(model("chat", routing=TO_BIG))
    answer = await gateway.chat()
    assert (answer.status, answer.error["code"]) == (503, "no_ready_replica")


async def test_an_answer_that_takes_too_long_is_504(gateway: Gateway, first: Upstream) -> None:
    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(20)
        return web.json_response({})

    first.answer = slow
    await gateway.publish(model("chat", first.endpoint(), routing=Routing(timeout_s=0.3)))
    answer = await gateway.chat()
    assert (answer.status, answer.error["code"]) == (504, "timeout")
