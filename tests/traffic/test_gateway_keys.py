"""API keys at the gateway of a cluster: a real Envoy that gets its filters from the real plane, and from no file."""

import json
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from bateau.domain.api_key import ApiKey
from bateau.kit.json_value import ReadObject
from bateau.kit.secret_key import ENTROPY_BYTES, hash_of, key_of
from bateau.traffic.envoy import resources
from bateau.traffic.envoy.admin import EnvoyAdmin
from bateau.traffic.envoy.gateway import GatewayPlane
from bateau.traffic.envoy.key_filters import ON_CLUSTERS
from bateau.traffic.envoy.listed import LISTED
from traffic.gateway import becomes_equal, eventually
from traffic.test_gateway import Installation, accepted, installed, serves, traffic
from traffic.upstream import Upstream

SECRET = key_of(bytes(range(ENTROPY_BYTES)))
OTHER = key_of(bytes(ENTROPY_BYTES))


def key(name: str = "ci", secret: str = SECRET, **more: Any) -> ApiKey:
    return ApiKey(name=name, owner="me", sha256=hash_of(secret), **more)


async def error(at: Installation, model: str = "chat", secret: str | None = None) -> tuple[int, str]:
    """Return the status of a request, and the code of its error."""
    status, text = await at.ask(model, **({} if secret is None else {"authorization": f"Bearer {secret}"}))
    try:
        return status, json.loads(text)["error"]["code"]
    except ValueError:
        return status, ""


async def got(at: Installation, path: str, secret: str | None = None) -> tuple[int, Any]:
    headers = {} if secret is None else {"x-api-key": secret}
    url = f"http://127.0.0.1:{at.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.json()


async def admit(plane: GatewayPlane, pod: Upstream, keys: Sequence[ApiKey] | None) -> None:
    """Admit keys, and return when the gateway has them."""
    plane.admit(keys)
    plane.publish(traffic(pod))
    await accepted(plane)


async def test_the_first_key_closes_the_gateway_and_the_last_one_does_not_open_it():
    async with installed() as (at, pod):
        await at.start()
        plane = at.control()
        plane.publish(traffic(pod))
        await serves(at)
        assert [each["id"] for each in (await got(at, "/v1/models"))[1]["data"]] == ["chat", "shop/chat"]
        await admit(plane, pod, [key(models=("chat",))])
        await becomes_equal(lambda: error(at), (401, "missing_api_key"))
        assert await error(at, secret=OTHER) == (401, "invalid_api_key")
        assert await error(at, secret=SECRET) == (200, "")
        assert await error(at, "shop/chat", SECRET) == (403, "model_not_allowed")
        assert [each["id"] for each in (await got(at, "/v1/models", SECRET))[1]["data"]] == ["chat"]
        assert (await got(at, "/v1/models"))[0] == 401
        assert (await got(at, "/healthz"))[0] == 200, "probes have no key"
        assert "authorization" not in pod.seen[-1].headers
        await admit(plane, pod, [])
        await becomes_equal(lambda: error(at, secret=SECRET), (401, "invalid_api_key"))
        assert (await error(at))[0] == 401


async def test_a_key_has_an_end_and_a_limit():
    async with installed() as (at, pod):
        await at.start()
        plane = at.control()
        plane.admit([key(requests_per_minute=2), key("old", OTHER, expires_at=time.time() - 1)])
        plane.publish(traffic(pod))
        await eventually(lambda: _answers(at))
        assert await error(at, secret=OTHER) == (401, "expired_api_key")
        assert [(await error(at, secret=SECRET))[0] for _ in range(2)] == [200, 200]
        assert await error(at, secret=SECRET) == (429, "rate_limit_exceeded")


async def _answers(at: Installation) -> bool:
    return (await error(at))[0] == 401


async def test_keys_outlive_the_controller_and_a_new_one_changes_none():
    async with installed() as (at, pod):
        await at.start()
        plane = at.control()
        plane.admit([key()])
        plane.publish(traffic(pod))
        await eventually(lambda: _answers(at))
        await accepted(plane)
        await plane.close()
        assert [await error(at), await error(at, secret=SECRET)] == [(401, "missing_api_key"), (200, "")]
        following = at.control()
        following.admit([key("ci", OTHER)])
        following.publish(traffic(pod))
        await becomes_equal(lambda: error(at, secret=SECRET), (401, "invalid_api_key"), within_s=10)
        assert await error(at, secret=OTHER) == (200, "")
        # The gateway restarts: it has nothing of before, and gets all of it.
        assert at.process
        at.process.kill()
        await at.process.wait()
        assert (await error(at, secret=OTHER))[0] == 0
        await at.start()
        await eventually(lambda: _answers(at))
        assert await error(at, secret=OTHER) == (200, "")


async def test_a_controller_that_has_admitted_no_key_lets_nobody_in():
    async with installed() as (at, pod):
        await at.start()
        plane = at.control(is_open=False)
        plane.publish(traffic(pod))
        await eventually(lambda: _answers(at))
        assert (await error(at, secret=SECRET))[0] == 401
        assert not pod.seen


@pytest.mark.parametrize("missing", [each for each in ON_CLUSTERS if each != LISTED])
async def test_without_its_filters_a_gateway_refuses_every_request(monkeypatch: pytest.MonkeyPatch, missing: str):
    """One that loses a filter refuses; one that never had it does not even listen."""
    made = resources.cluster_key_filters

    def all_but_one(keys: Sequence[ApiKey] | None, *, model_header: str, no_model: Sequence[str]) -> list[ReadObject]:
        found = made(keys, model_header=model_header, no_model=no_model)
        return [each for each in found if each["name"] != missing]

    async with installed() as (at, pod):
        await at.start()
        plane = at.control()
        plane.admit([key()])
        plane.publish(traffic(pod))
        await eventually(lambda: _answers(at))
        assert await error(at, secret=SECRET) == (200, "")
        monkeypatch.setattr(resources, "cluster_key_filters", all_but_one)
        await admit(plane, pod, [key()])

        async def is_refused() -> bool:
            return (await error(at, secret=SECRET))[0] in (401, 403) and (await error(at))[0] in (401, 403)

        await eventually(is_refused)
        assert at.process
        at.process.kill()
        await at.process.wait()
        seen = len(pod.seen)
        await at.start()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert await error(at, secret=SECRET) == (0, "")
        assert len(pod.seen) == seen


async def test_the_gateway_and_its_configuration_have_hashes_only():
    async with installed() as (at, pod):
        await at.start()
        plane = at.control()
        plane.admit([key()])
        plane.publish(traffic(pod))
        await eventually(lambda: _answers(at))
        assert await error(at, secret=SECRET) == (200, "")
        assert SECRET not in (await EnvoyAdmin(at.admin).text("/config_dump?include_eds") or "")
        assert all(SECRET not in str(request.headers) for request in pod.seen)
