"""The places of a model at the native filter: keys share them, and the fallback answers what has none."""

import aiohttp
import pytest
from aiohttp import web

from bateau.domain.workload import Routing
from traffic.gateway import Gateway, eventually, model
from traffic.test_native import ASK, CHAT, bearer, gateway, keyed, known
from traffic.upstream import Stream, Upstream

__all__ = ["gateway", "keyed"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_keys_share_the_places_of_a_model(keyed: Gateway, first: Upstream) -> None:
    """One key may have all of them while it is alone, and its share while others have requests there, too."""
    await keyed.publish(model("chat", first.endpoint(), requests_max=6))
    greedy, polite = bearer(keyed, "greedy"), bearer(keyed, "polite")
    await known(keyed, polite)
    stream = Stream()
    first.answer = stream.answer

    async def ask(headers: dict[str, str], count: int) -> list[aiohttp.ClientResponse]:
        return [await keyed.session.post(CHAT, json=ASK, headers=headers) for _ in range(count)]

    alone = await ask(greedy, 5)
    assert [each.status for each in alone] == [200] * 5
    (other,) = await ask(polite, 1)
    assert other.status == 200, "the last place"
    (refused,) = await ask(greedy, 1)
    error = (await refused.json())["error"]
    assert (refused.status, error["code"], refused.headers["retry-after"]) == (429, "rate_limit_exceeded", "1")
    assert "'greedy' may have 3 requests at this model now" in error["message"]
    for each in alone[:3]:
        each.close()
    await eventually(lambda: _is_accepted(keyed, polite))
    (more,) = await ask(polite, 1)
    assert more.status == 200
    for _ in range(5):
        stream.end()
    for each in (*alone[3:], other, more):
        assert await each.read() is not None
    again = await ask(greedy, 2)
    assert [each.status for each in again] == [200] * 2
    for each in again:
        each.close()


async def test_the_fallback_answers_what_a_full_model_has_no_place_for(
    keyed: Gateway, first: Upstream, second: Upstream
) -> None:
    routing = Routing(fallback="other")
    chat = model("chat", first.endpoint(), requests_max=1, routing=routing)
    other = model("other", second.endpoint(), answers_for_others=True)
    await keyed.publish(chat, other)
    headers = bearer(keyed, "ci", models=("chat",))
    await known(keyed, headers)
    stream = Stream()
    first.answer = stream.answer
    async with keyed.session.post(CHAT, json=ASK, headers=headers) as response:
        assert response.status == 200
        for _ in range(3):
            answer = await keyed.chat(headers=headers)
            assert (answer.status, answer.tree["upstream"]) == (200, second.name)
        assert not [name for each in second.seen for name in each.headers if name.lower() == "x-bateau-full"]
        forged = await keyed.chat("other", headers={**headers, "x-bateau-full": "yes"})
        assert forged.status == 403
        stream.end()
        await response.read()

    async def has_a_place() -> bool:
        first.answer = echo
        return (await keyed.chat(headers=headers)).tree.get("upstream") == "own"

    async def echo(_: web.Request) -> web.Response:
        return web.json_response({"upstream": "own"})

    await eventually(has_a_place)


async def _is_accepted(gateway: Gateway, headers: dict[str, str]) -> bool:
    """Whether there is a place now; it is given back at once."""
    response = await gateway.session.post(CHAT, json=ASK, headers=headers)
    response.close()
    return response.status == 200
