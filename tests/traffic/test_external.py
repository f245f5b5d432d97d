"""Models that are served elsewhere: their own path, key and name, and the key is seen by nobody else."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from bateau.domain.endpoint import Backend, ExternalTarget
from traffic.gateway import Gateway, model
from traffic.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-very-secret-0123456789"


@pytest_asyncio.fixture(loop_scope="module")
async def provider() -> AsyncIterator[Upstream]:
    async with upstream("provider") as made:
        yield made


def elsewhere(provider: Upstream, *, path: str = "/v1", key: str | None = None, name: str | None = None) -> Backend:
    target = ExternalTarget(url=f"http://{provider.address}{path}", api_key=key)
    return model("big", external=target, upstream_model=name)


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/api/v9/openai", "/api/v9/openai/chat/completions"),
        ("", "/chat/completions"),
    ],
)
async def test_the_path_of_its_url_takes_the_place_of_v1(
    gateway: Gateway, provider: Upstream, path: str, arrives: str
) -> None:
    await gateway.publish(elsewhere(provider, path=path))
    assert (await gateway.chat("big")).status == 200
    assert provider.seen[0].path == arrives


async def test_it_sees_its_own_host(gateway: Gateway, provider: Upstream) -> None:
    await gateway.publish(elsewhere(provider))
    await gateway.chat("big")
    assert provider.seen[0].headers["host"] == provider.address


async def test_its_key_goes_along_in_place_of_the_callers(gateway: Gateway, provider: Upstream) -> None:
    await gateway.publish(elsewhere(provider, key=KEY))
    await gateway.chat("big", headers={"authorization": "Bearer sk-caller", "x-api-key": "sk-caller"})
    arrived = provider.seen[0].headers
    assert arrived.getall("authorization") == [f"Bearer {KEY}"]
    assert "x-api-key" not in arrived
    assert not [name for name in arrived if name.lower().startswith("x-bateau")]


async def test_without_a_key_the_callers_does_not_go_along(gateway: Gateway, provider: Upstream) -> None:
    await gateway.publish(elsewhere(provider))
    await gateway.chat("big", headers={"authorization": "Bearer sk-caller"})
    assert "authorization" not in provider.seen[0].headers


async def test_its_key_is_shown_nowhere(gateway: Gateway, provider: Upstream) -> None:
    await gateway.publish(elsewhere(provider, key=KEY))
    await gateway.chat("big")
    for page in ("/config_dump?include_eds", "/clusters", "/stats", "/server_info"):
        assert KEY not in (await gateway.admin.text(page) or KEY)
    written = [path for path in gateway.base.rglob("*") if path.is_file()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert KEY not in repr(elsewhere(provider, key=KEY))
    assert KEY not in " ".join(gateway.plane.template().command)


async def test_a_changed_key_is_used(gateway: Gateway, provider: Upstream) -> None:
    await gateway.publish(elsewhere(provider, key=KEY))
    await gateway.chat("big")
    await gateway.publish(elsewhere(provider, key="sk-next"))
    await gateway.chat("big")
    assert [seen.headers["authorization"] for seen in provider.seen] == [f"Bearer {KEY}", "Bearer sk-next"]


async def test_the_model_gets_its_name_over_there_and_all_else_stays(gateway: Gateway, provider: Upstream) -> None:
    await gateway.publish(elsewhere(provider, name="gpt-100%-large"))
    body = {"model": "big", "messages": [{"role": "user", "content": 'say "model": "big" {}%'}], "seed": 12345678901}
    answer = await gateway.ask("POST", "/v1/chat/completions", json=body)
    assert answer.status == 200
    assert json.loads(provider.seen[0].body) == {**body, "model": "gpt-100%-large"}


async def test_a_local_model_beside_it_gets_no_key(gateway: Gateway, provider: Upstream, first: Upstream) -> None:
    await gateway.publish(elsewhere(provider, key=KEY), model("chat", first.endpoint()))
    await gateway.chat("chat")
    assert "authorization" not in first.seen[0].headers


async def test_a_provider_that_is_down_is_503_in_openais_shape(gateway: Gateway, provider: Upstream) -> None:
    await provider.close()
    await gateway.publish(elsewhere(provider, key=KEY))
    answer = await gateway.chat("big")
    assert (answer.status, answer.error["code"]) == (503, "no_ready_replica")
    assert KEY not in answer.body.decode()


async def test_a_providers_refusal_passes_as_it_is(gateway: Gateway, provider: Upstream) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no credit"}}, status=429, headers={"retry-after": "60"})

    provider.answer = refuse
    await gateway.publish(elsewhere(provider, key=KEY))
    answer = await gateway.chat("big")
    assert (answer.status, answer.headers["retry-after"], answer.tree["error"]["message"]) == (429, "60", "no credit")
    assert len(provider.seen) == 1
