"""The dashboard behind the gateway: it is passed without a key, nothing beside it is, and without it a page says so."""

import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

from bateau.domain.api_key import ApiKey
from bateau.traffic.envoy.dashboard import PAGES_AT_ONCE
from traffic.gateway import Gateway, becomes_equal, eventually
from traffic.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def api(gateway: Gateway) -> AsyncIterator[Upstream]:
    await gateway.publish()
    async with upstream("control", gateway.base / "control.sock") as made:
        yield made


async def test_the_gateway_passes_the_dashboard_and_nothing_beside_it(gateway: Gateway, api: Upstream) -> None:
    for path in ("/ui", "/ui/", "/ui/services/app/shop", "/ui/live?path=/"):
        assert (await gateway.ask("GET", path)).tree == {"upstream": "control"}
    before = [seen.path for seen in api.seen]
    for path in (
        "/uix",
        "/ui/../v1/status",
        "/ui/%2e%2e/v1/status",
        "/ui/..%2fv1/status",
        "/ui/..%5cv1/status",
        "/ui//../../v1/status",
        "/v1/dashboard/links",
    ):
        for method in ("GET", "POST"):
            answer = await gateway.ask(method, URL(path, encoded=True))
            assert answer.status >= 400, path
    assert [seen.path for seen in api.seen] == before
    assert all(seen.headers["x-bateau-gateway"] == "1" for seen in api.seen)


async def test_a_client_cannot_say_how_it_has_connected(gateway: Gateway, api: Upstream) -> None:
    await gateway.ask("GET", "/ui/", headers={"x-forwarded-proto": "https", "x-bateau-gateway": "0"})
    (seen,) = api.seen
    assert (seen.headers["x-forwarded-proto"], seen.headers["x-bateau-gateway"]) == ("http", "1")


async def test_a_foreign_host_is_refused(gateway: Gateway, api: Upstream) -> None:
    answer = await gateway.ask("GET", "/ui/", headers={"host": "evil.example"})
    assert (answer.status, answer.error["code"]) == (403, "host_not_allowed")
    assert not api.seen


async def test_the_dashboard_needs_no_api_key(gateway: Gateway, api: Upstream) -> None:
    gateway.keys.create(ApiKey(name="ci", owner="me", created_at=time.time()))
    try:

        async def statuses() -> list[int]:
            return [(await gateway.ask("GET", path)).status for path in ("/v1/models", "/ui/", "/ui")]

        await becomes_equal(statuses, [401, 200, 200], within_s=5)
        form = await gateway.ask("POST", "/ui/sign-out", data={"csrf": "x"})
        assert form.status == 200
        assert api.seen[-1].body == b"csrf=x"
    finally:
        gateway.keys.publish(open_to_all=True)

        async def is_open() -> int:
            return (await gateway.ask("GET", "/v1/models")).status

        await becomes_equal(is_open, 200, within_s=5)


async def test_a_stream_of_updates_has_no_end(gateway: Gateway, api: Upstream) -> None:
    async def live(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event: alive\ndata: {}\n\n")
        await response.write(b"event: alive\ndata: {}\n\n")
        return response

    api.answer = live
    answer = await gateway.ask("GET", "/ui/live?path=/")
    assert answer.body.count(b"event: alive") == 2


async def test_without_a_control_plane_a_page_says_so(gateway: Gateway) -> None:
    for path in ("/ui", "/ui/", "/ui/services/app/shop?x=1", "/ui?x"):
        answer = await gateway.ask("GET", path)
        assert answer.status == 503
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["retry-after"] == "2"
        text = answer.body.decode()
        assert "The control plane is not running" in text
        assert "%" not in text
        assert not re.search("<script|style=", text)
        assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    other = await gateway.ask("GET", "/metrics")
    assert (other.status, other.error["code"]) == (503, "control_plane_down")


async def test_the_gateway_bounds_the_requests_for_pages(gateway: Gateway, api: Upstream) -> None:
    answers = [await gateway.ask("GET", "/ui/") for _ in range(PAGES_AT_ONCE + 200)]
    refused = [each for each in answers if each.status == 429]
    assert {each.status for each in answers} == {200, 429}
    assert len(api.seen) == len(answers) - len(refused)
    assert "Too many requests" in refused[0].body.decode()
    assert refused[0].headers["content-type"] == "text/html; charset=utf-8"
    assert (await gateway.ask("GET", "/v1/models")).status == 200, "other paths have no part in that"

    async def is_passed() -> bool:
        return (await gateway.ask("GET", "/ui/")).status == 200

    await eventually(is_passed)
