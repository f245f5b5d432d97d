"""Web pages of other origins: their browser asks first, without a key."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.domain.api_key import ApiKey
from traffic.gateway import Gateway, eventually, model
from traffic.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS, OTHERS = "https://app.example.org", "https://evil.example.org"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keyed(library: Path | None) -> AsyncIterator[Gateway]:
    made = Gateway(library, origins=(OURS,))
    try:
        made.keys.create(ApiKey(name="page", owner="me", created_at=0.0))
        await made.open()
        yield made
    finally:
        await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def first(keyed: Gateway) -> AsyncIterator[Upstream]:
    async with upstream("model.chat.0", keyed.base / "0.sock") as made:
        await keyed.publish(model("chat", made.endpoint()))
        yield made


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    }


async def test_a_browser_asks_without_a_key_and_is_answered(keyed: Gateway, first: Upstream) -> None:
    answer = await keyed.ask("OPTIONS", "/v1/chat/completions", headers=preflight(OURS))
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == OURS
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert first.seen == []


async def test_a_page_may_read_answers_and_errors(keyed: Gateway, first: Upstream) -> None:
    secret = keyed.keys.rotate("page")[1]
    headers = {"origin": OURS, "authorization": f"Bearer {secret}"}

    async def answers() -> bool:
        return (await keyed.chat(headers=headers)).status == 200

    await eventually(answers)
    for sent, status in ((headers, 200), ({"origin": OURS}, 401)):
        answer = await keyed.chat(headers=sent)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, OURS)
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert first.seen


async def test_pages_of_other_origins_are_not_allowed(keyed: Gateway, first: Upstream) -> None:
    for origin in (OTHERS, "null", f"{OURS}.evil.org", OURS.replace("https", "http")):
        answer = await keyed.ask("OPTIONS", "/v1/chat/completions", headers=preflight(origin))
        assert answer.status == 401
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-origin" not in (await keyed.chat(headers={"origin": origin})).headers
    # What a page may send without asking first is not JSON.
    answer = await keyed.ask("POST", "/v1/chat/completions", data=b'{"model": "chat"}', headers={"origin": OTHERS})
    assert answer.status in {400, 401}
    assert first.seen == []
