"""A model that sleeps: requests wait in Envoy until it has endpoints, and that they wait is what wakes it."""

import asyncio
import io
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import Backend, Endpoint, Hold
from traffic.gateway import Answer, Gateway, eventually, model
from traffic.upstream import Stream, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

_HOLD = Hold(requests_max=64, wait_s=30.0, says="it is being fetched")


def asleep(generation: int, **hold: Any) -> Backend:
    """Return the backend of a model that sleeps."""
    return model("chat", generation=generation, hold=replace(_HOLD, **hold))


def awake(generation: int, *endpoints: Endpoint) -> Backend:
    """Return the backend of the same model with endpoints."""
    return model("chat", *endpoints, generation=generation)


async def asked(gateway: Gateway) -> dict[str, int]:
    """Return for which generations of which models requests wait."""
    return dict(gateway.plane.observe().asked)


async def waiting(gateway: Gateway, generation: int) -> None:
    """Return when a request waits for a generation of the model."""

    async def is_waiting() -> bool:
        return (await asked(gateway)).get("model/chat") == generation

    await eventually(is_waiting)


async def ask_many(gateway: Gateway, count: int) -> list[asyncio.Task[Answer]]:
    return [asyncio.create_task(gateway.chat()) for _ in range(count)]


async def test_requests_wait_for_a_model_that_sleeps_and_are_answered_when_it_is_awake(
    gateway: Gateway, first: Upstream
) -> None:
    await gateway.publish(asleep(0))
    assert await asked(gateway) == {}
    held = await ask_many(gateway, 50)
    await waiting(gateway, 0)
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in held)
    await gateway.publish(awake(0, first.endpoint()))
    answers = await asyncio.gather(*held)
    assert {answer.status for answer in answers} == {200}
    assert len(first.seen) == 50
    assert await asked(gateway) == {}
    assert (await gateway.chat()).status == 200


async def test_a_model_that_fell_asleep_wakes_again(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(awake(10, first.endpoint()))
    assert (await gateway.chat()).status == 200
    for generation in (11, 12, 13):
        await gateway.publish(asleep(generation))
        held = await ask_many(gateway, 3)
        await waiting(gateway, generation)
        await gateway.publish(awake(generation, first.endpoint()))
        assert {answer.status for answer in await asyncio.gather(*held)} == {200}


async def test_a_stream_ends_on_the_replica_of_a_model_that_falls_asleep(gateway: Gateway, first: Upstream) -> None:
    stream = Stream()
    first.answer = stream.answer
    await gateway.publish(awake(20, first.endpoint()))
    body: dict[str, object] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with gateway.session.post("/v1/chat/completions", json=body) as response:
        stream.send(b"one")
        assert b"one" in await response.content.readany()
        leaving = replace(awake(20, first.endpoint(draining=True)), protocol="leaving")
        await gateway.publish(asleep(21), leaving)
        assert await gateway.in_flight(first.name) == 1
        stream.send(b"two")
        assert b"two" in await response.content.readany()
        await gateway.publish(asleep(21))
        stream.send(b"three")
        assert b"three" in await response.content.readany()
        stream.end()


async def test_a_request_beyond_the_bound_is_told_what_the_model_waits_for(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(asleep(30, requests_max=4))
    held = await ask_many(gateway, 4)
    await waiting(gateway, 30)
    beyond = await gateway.chat()
    assert (beyond.status, beyond.headers["retry-after"]) == (503, "2")
    assert "it is being fetched" in beyond.error["message"]
    assert beyond.error["code"] == "model_sleeps"
    await gateway.publish(awake(30, first.endpoint()))
    assert {answer.status for answer in await asyncio.gather(*held)} == {200}
    # The bound is for waiting only.
    assert {answer.status for answer in await asyncio.gather(*await ask_many(gateway, 20))} == {200}


async def test_a_wait_ends_after_its_time(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(asleep(40, wait_s=1.0))
    late = await gateway.chat()
    assert (late.status, late.headers["retry-after"]) == (503, "2")
    assert late.error["message"].endswith("/v1/models/chat says what it waits for.")
    # It is still the one that is asked for, so it wakes for those who come later.
    await waiting(gateway, 40)
    held = await ask_many(gateway, 1)
    await asyncio.sleep(0.2)
    await gateway.publish(awake(40, first.endpoint()))
    assert [answer.status for answer in await asyncio.gather(*held)] == [200]


async def test_requests_that_wait_for_a_deleted_model_end_at_once(gateway: Gateway) -> None:
    await gateway.publish(asleep(50))
    held = await ask_many(gateway, 2)
    await waiting(gateway, 50)
    await gateway.publish()
    assert {answer.status for answer in await asyncio.wait_for(asyncio.gather(*held), 5)} <= {404, 503}


async def test_a_request_waits_through_a_restart_of_the_control_plane(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(asleep(60))
    held = await ask_many(gateway, 5)
    await waiting(gateway, 60)
    await gateway.restart_control(asleep(60))
    await waiting(gateway, 60)
    assert not any(task.done() for task in held)
    await gateway.publish(awake(60, first.endpoint()))
    assert {answer.status for answer in await asyncio.gather(*held)} == {200}


async def test_a_model_that_was_waited_for_stays_through_a_restart_of_the_control_plane(
    gateway: Gateway, first: Upstream
) -> None:
    await gateway.publish(asleep(65))
    held = await ask_many(gateway, 1)
    await waiting(gateway, 65)
    await gateway.publish(awake(65, first.endpoint()))
    assert [answer.status for answer in await asyncio.gather(*held)] == [200]
    await gateway.restart_control(awake(65, first.endpoint()))
    await asyncio.sleep(1)  # Envoy asks for it again, over the stream on which it did before
    assert (await gateway.chat()).status == 200


async def test_a_control_plane_that_remembers_less_learns_the_generation_from_the_gateway(
    gateway: Gateway, first: Upstream
) -> None:
    await gateway.publish(awake(70, first.endpoint()))
    await gateway.publish(asleep(71))
    held = await ask_many(gateway, 2)
    await waiting(gateway, 71)
    await gateway.restart_control(asleep(70))
    await waiting(gateway, 71)
    await gateway.publish(awake(71, first.endpoint()))
    assert {answer.status for answer in await asyncio.gather(*held)} == {200}


async def test_a_long_body_waits_whole(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(asleep(80))
    body = {"model": "chat", "messages": [{"role": "user", "content": "x" * 2**21}]}
    sent = io.BytesIO(json.dumps(body).encode())
    headers = {"content-type": "application/json"}
    held = asyncio.create_task(gateway.ask("POST", "/v1/chat/completions", data=sent, headers=headers))
    await waiting(gateway, 80)
    await gateway.publish(awake(80, first.endpoint()))
    assert (await held).status == 200
    assert json.loads(first.seen[-1].body) == body


async def test_a_client_that_leaves_takes_no_other_with_it(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(asleep(90))
    held = await ask_many(gateway, 3)
    await waiting(gateway, 90)
    held[0].cancel()
    await asyncio.sleep(0.2)
    await gateway.publish(awake(90, first.endpoint()))
    assert {answer.status for answer in await asyncio.gather(*held[1:])} == {200}
    assert len(first.seen) == 2


async def test_the_list_of_models_says_who_sleeps(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(asleep(110), model("other", first.endpoint()))
    found = (await gateway.ask("GET", "/v1/models")).tree["data"]
    assert {each["id"]: each.get("status") for each in found} == {
        "chat": {"value": "sleeping", "says": "it is being fetched"},
        "other": None,
    }
    for backend, value in ((awake(110), "loading"), (awake(110, first.endpoint()), "loaded")):
        await gateway.publish(backend)
        assert (await gateway.ask("GET", "/v1/models/chat")).tree["status"] == {"value": value}


async def test_the_load_of_other_models_is_known_while_requests_wait(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    other = model("other", second.endpoint())
    await gateway.publish(awake(120, first.endpoint()), other)
    assert (await gateway.chat()).status == 200
    await gateway.load()
    await gateway.publish(asleep(121), other)
    held = await ask_many(gateway, 2)
    await waiting(gateway, 121)
    load = await gateway.load()
    assert (load.in_flight[second.name], load.taken[second.name]) == (0, 0)
    assert (await gateway.chat("other")).status == 200
    assert (await gateway.load()).taken[second.name] == 1
    await gateway.publish(awake(121, first.endpoint()), other)
    assert {answer.status for answer in await asyncio.gather(*held)} == {200}


async def test_the_load_is_known_while_requests_wait_through_a_restart_of_the_control_plane(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    other = model("other", second.endpoint())
    await gateway.publish(awake(140, first.endpoint()), other)
    await gateway.load()
    await gateway.publish(asleep(141), other)
    held = await ask_many(gateway, 2)
    await waiting(gateway, 141)
    await gateway.restart_control(asleep(141), other)
    await waiting(gateway, 141)
    assert (await gateway.load()).in_flight[second.name] == 0
    await gateway.publish(awake(141, first.endpoint()), other)
    assert {answer.status for answer in await asyncio.gather(*held)} == {200}


async def test_a_wait_may_be_longer_than_the_time_that_envoy_gives_a_first_answer(
    gateway: Gateway, first: Upstream
) -> None:
    """It is 15 s for each name that Envoy asks for."""
    await gateway.publish(asleep(130))
    held = await ask_many(gateway, 1)
    await asyncio.sleep(16)
    assert not held[0].done()
    await gateway.publish(awake(130, first.endpoint()))
    assert (await held[0]).status == 200


async def test_a_key_is_checked_before_a_request_wakes_a_model(gateway: Gateway, first: Upstream) -> None:
    _, secret = gateway.keys.create(ApiKey(name="ci", owner="me", created_at=time.time(), models=("chat",)))
    await gateway.publish(asleep(100))
    assert (await gateway.chat()).status == 401
    assert await asked(gateway) == {}
    held = asyncio.create_task(gateway.chat(headers={"authorization": f"Bearer {secret}"}))
    await waiting(gateway, 100)
    await gateway.publish(awake(100, first.endpoint()))
    assert (await held).status == 200
    assert "authorization" not in first.seen[-1].headers
