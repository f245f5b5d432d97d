"""Limits of models at the real Envoy: of all clients together, and of each key."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.domain.api_key import ApiKey
from bateau.domain.used import Refusal
from bateau.domain.workload import KeyLimits, Limits
from traffic.gateway import Gateway, eventually, model, running_gateway
from traffic.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keyed(library: Path | None) -> AsyncIterator[Gateway]:
    async with running_gateway(library) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replica(keyed: Gateway) -> AsyncIterator[Upstream]:
    async with upstream("model.chat.0", keyed.base / "0.sock") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def headers(keyed: Gateway, replica: Upstream) -> list[dict[str, str]]:
    """Headers of two new keys."""
    found: list[dict[str, str]] = []
    for number in range(2):
        key = ApiKey(name=f"key-{number}-{time.monotonic_ns()}", owner="me", created_at=0.0)
        found.append({"authorization": f"Bearer {keyed.keys.create(key)[1]}"})
    await keyed.publish(model("open", replica.endpoint()))

    async def is_known() -> bool:
        return (await keyed.chat("open", headers=found[-1])).status == 200

    await eventually(is_known)
    return found


async def statuses(gateway: Gateway, headers: dict[str, str], *names: str) -> list[int]:
    return [(await gateway.chat(name, headers=headers)).status for name in names]


async def test_all_clients_share_the_requests_of_a_model(
    keyed: Gateway, replica: Upstream, headers: list[dict[str, str]]
) -> None:
    limited = model("chat", replica.endpoint(), limits=Limits(requests_per_minute=3))
    await keyed.publish(limited, model("open", replica.endpoint()))
    assert await statuses(keyed, headers[0], "chat", "chat") == [200, 200]
    assert await statuses(keyed, headers[1], "chat", "chat", "open") == [200, 429, 200]
    refused = await keyed.chat(headers=headers[0])
    assert refused.error["message"] == (
        "'chat' has been sent as many requests as it may in a minute, by this key or by all together."
    )
    assert (refused.error["code"], refused.headers["x-ratelimit-remaining"]) == ("rate_limit_exceeded", "0")
    assert int(refused.headers["retry-after"]) > 0


async def test_each_key_has_requests_of_its_own_at_a_model(
    keyed: Gateway, replica: Upstream, headers: list[dict[str, str]]
) -> None:
    limits = Limits(per_key=KeyLimits(requests_per_minute=2))
    await keyed.publish(model("chat", replica.endpoint(), limits=limits), model("open", replica.endpoint()))
    for each in headers:
        assert await statuses(keyed, each, "chat", "chat", "chat", "open") == [200, 200, 429, 200]


async def test_all_names_of_a_model_share_its_limit(
    keyed: Gateway, replica: Upstream, headers: list[dict[str, str]]
) -> None:
    limits = Limits(requests_per_minute=5, per_key=KeyLimits(requests_per_minute=3))
    await keyed.publish(model("chat", replica.endpoint(), aliases=("gpt-4o", "org/chat"), limits=limits))
    assert await statuses(keyed, headers[0], "gpt-4o", "chat", "org/chat", "gpt-4o") == [200, 200, 200, 429]
    assert await statuses(keyed, headers[1], "org/chat", "chat", "gpt-4o") == [200, 200, 429]


async def test_other_models_and_other_changes_keep_what_is_counted(
    keyed: Gateway, replica: Upstream, headers: list[dict[str, str]]
) -> None:
    """A bucket that was full again with each change of any model would limit nothing."""
    limited = model("chat", replica.endpoint(), limits=Limits(requests_per_minute=2))
    await keyed.publish(limited)
    assert await statuses(keyed, headers[0], "chat", "chat") == [200, 200]
    await keyed.publish(limited, model("another", replica.endpoint()))
    assert await statuses(keyed, headers[0], "chat", "another") == [429, 200]


async def refuses(gateway: Gateway, headers: dict[str, str], name: str, refused: Sequence[Refusal]) -> None:
    gateway.keys.refuse_at_models(refused)

    async def is_refused() -> bool:
        return (await gateway.chat(name, headers=headers)).status == 429

    await eventually(is_refused)


async def test_a_model_and_a_key_at_it_are_refused_until_their_tokens_are_there_again(
    keyed: Gateway, replica: Upstream, headers: list[dict[str, str]]
) -> None:
    await keyed.publish(model("chat", replica.endpoint(), aliases=("gpt-4o",)), model("open", replica.endpoint()))
    await refuses(keyed, headers[0], "chat", [Refusal(model="chat", key=None, until=time.time() + 3600)])
    assert await statuses(keyed, headers[1], "chat", "gpt-4o", "open") == [429, 429, 200]
    error = (await keyed.chat("gpt-4o", headers=headers[0])).error
    assert error["message"] == "'chat' has used as many tokens as it may in a minute, for all of its clients together."
    assert error["type"] == "tokens"
    name = next(iter(keyed.keys.load().by_name))
    two = [Refusal(model="open", key=name, until=time.time() + 3600), Refusal(model="chat", key=None, until=1.0)]
    secret = keyed.keys.rotate(name)[1]
    own = {"authorization": f"Bearer {secret}"}
    await refuses(keyed, own, "open", two)
    assert await statuses(keyed, own, "chat") == [200]
    assert await statuses(keyed, headers[1], "chat", "open") == [200, 200]
    assert (await keyed.chat("open", headers=own)).error["message"] == (
        f"The API key '{name}' has used as many tokens of 'open' as it may in a minute."
    )
    # Envoy's own clock ends it.
    await refuses(keyed, own, "chat", [Refusal(model="chat", key=None, until=time.time() + 1.5)])
    await asyncio.sleep(1.6)
    assert await statuses(keyed, own, "chat", "open") == [200, 200]
    keyed.keys.refuse_at_models(())
