"""Usage at the gateway of a cluster: counters of a real Envoy, by key and model."""

from collections import Counter
from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp import web

from bateau.observe.metrics import samples
from traffic.gateway import eventually
from traffic.test_gateway import Installation, accepted, installed, traffic
from traffic.test_gateway_keys import OTHER, SECRET, key
from traffic.upstream import Handler, Upstream

Counts = Mapping[tuple[str, str, str], int]


def says(text: str, kind: str = "application/json") -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type=kind)

    return answer


async def counts(at: Installation) -> Counts:
    """Return the counters of usage by name, key and model."""
    url = f"http://127.0.0.1:{at.probes}/stats/prometheus?filter=bateau.usage_"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        page = await answer.text()
    found: Counter[tuple[str, str, str]] = Counter()
    for name, labels, value in samples(page):
        found[name.removeprefix("envoy_bateau_usage_"), labels["key"], labels["route"]] += int(value)
    return found


async def opened(at: Installation, pod: Upstream) -> None:
    await at.start()
    plane = at.control()
    plane.admit([key(requests_per_minute=100), key("other", OTHER, models=("nothing",))])
    plane.publish(traffic(pod))

    async def answers() -> bool:
        return (await at.ask("chat"))[0] == 401

    await eventually(answers)
    await accepted(plane)


async def asked(at: Installation, times: int = 1, secret: str | None = SECRET, model: str = "chat") -> int:
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    status = 0
    url = f"http://127.0.0.1:{at.port}/v1/chat/completions"
    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            async with session.post(url, json={"model": model, "messages": []}, headers=headers) as answer:
                status = answer.status
                await answer.read()
    return status


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"usage": {"prompt_tokens": 7, "completion_tokens": 5}}', (7, 0, 5)),
        ('{"usage": {"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}}', (7, 4, 0)),
        ('{"usage": {"input_tokens": 7, "cache_read_input_tokens": 4, "output_tokens": 5}}', (11, 4, 5)),
        ('{"timings": {"prompt_n": 3, "cache_n": 4, "predicted_n": 5}}', (7, 4, 5)),
    ],
)
async def test_tokens_are_counted_by_key_and_model(answer: str, expected: tuple[int, int, int]) -> None:
    async with installed() as (at, pod):
        await opened(at, pod)
        pod.answer = says(answer)
        assert await asked(at, 3) == 200
        pod.answer = says(f"data: {answer}\n\ndata: [DONE]\n\n", "text/event-stream")
        assert await asked(at, 2) == 200
        names = ("tokens_in", "tokens_cached", "tokens_out")
        wanted: Counter[tuple[str, str, str]] = Counter()
        for name, value in zip(names, expected, strict=True):
            wanted[name, "ci", "shop/chat"] = 5 * value
        wanted["requests", "ci", "shop/chat"] = 5

        async def are_counted() -> bool:
            found = await counts(at)
            return {each: found.get(each) for each in wanted} == wanted

        await eventually(are_counted)
        assert ("requests_without_tokens", "ci", "shop/chat") not in await counts(at)


async def test_an_answer_without_tokens_is_counted_as_such_and_a_refusal_is_a_request() -> None:
    async with installed() as (at, pod):
        await opened(at, pod)
        pod.answer = says("{}")
        assert await asked(at, 2) == 200
        assert await asked(at, 1, OTHER) == 403
        assert await asked(at, 1, secret=None) == 401

        async def are_counted() -> bool:
            found = await counts(at)
            return (
                found.get(("requests", "ci", "shop/chat")) == 2
                and found.get(("requests_without_tokens", "ci", "shop/chat")) == 2
                and any(name == "requests" and by == "other" for name, by, _ in found)
            )

        await eventually(are_counted)
        found = await counts(at)
        assert not any(name == "tokens_in" for name, *_ in found)
        assert not any(name == "requests_without_tokens" and by == "other" for name, by, _ in found)


async def test_nobody_can_name_a_key_or_make_a_series_for_a_model_that_does_not_exist() -> None:
    async with installed() as (at, pod):
        await at.start()
        at.control().publish(traffic(pod))

        async def answers() -> bool:
            return (await at.ask("chat"))[0] == 200

        await eventually(answers)
        for number in range(3):
            await at.ask("chat", **{"x-bateau-key": f"forged-{number}"})
            await at.ask(f"model-{number}")

        async def are_counted() -> bool:
            return sum(value for (name, *_), value in (await counts(at)).items() if name == "requests") >= 7

        await eventually(are_counted)
        found = await counts(at)
        assert {by for _, by, _ in found} == {""}
        assert not any("model-" in model for *_, model in found)
