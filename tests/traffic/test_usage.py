"""The ledger at the real Envoy: one line for each request, its tokens in every API's words, and nothing private."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import ExternalTarget
from bateau.domain.used import Used
from bateau.domain.workload import Routing
from bateau.observe.spans import parent_of
from bateau.store.ledger import Ledger
from traffic.gateway import REPLICA, Gateway, eventually, model, running_gateway
from traffic.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def whole(tree: object) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        text = tree if isinstance(tree, str) else json.dumps(tree)
        return web.json_response(text=text)  # with a charset, as engines do

    return answer


def stream(*events: object, pieces: int = 10_000) -> Answer:
    """Answer with server-sent events, in pieces of some bytes."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        text = "".join(f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n" for each in events).encode()
        for at in range(0, len(text), pieces):
            await response.write(text[at : at + pieces])
            await asyncio.sleep(0)
        return response

    return answer


def written(gateway: Gateway) -> list[Used]:
    return list(Ledger(gateway.base).read(since=0, until=1e12))


async def lines(gateway: Gateway, count: int) -> list[Used]:
    async def found() -> list[Used] | None:
        used = written(gateway)
        return used if len(used) >= count else None

    return await eventually(found)


async def used_by(gateway: Gateway, path: str, **more: Any) -> Used:
    """Send one request, and return its line."""
    before = len(written(gateway))
    await gateway.ask("POST", path, json={"model": "chat", "messages": [{"role": "user"}]}, **more)
    return (await lines(gateway, before + 1))[-1]


USAGE = {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34}
RESPONSES = {"input_tokens": 30, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 20}}
ANTHROPIC = {"input_tokens": 10, "cache_read_input_tokens": 20, "output_tokens": 4}
TIMINGS = {"prompt_n": 10, "cache_n": 20, "predicted_n": 4}


@pytest.mark.parametrize(
    ("path", "answer", "tokens"),
    [
        ("chat/completions", whole({"usage": USAGE}), (30, None, 4)),
        ("chat/completions", whole({"usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 20}}}), (30, 20, 4)),
        ("chat/completions", whole({"usage": USAGE, "timings": TIMINGS}), (30, 20, 4)),
        ("chat/completions", stream({"choices": []}, {"choices": [], "usage": USAGE}, "[DONE]"), (30, None, 4)),
        ("chat/completions", stream({"choices": []}, {"choices": [], "timings": TIMINGS}, "[DONE]"), (30, 20, 4)),
        ("chat/completions", stream({"x": "data: {}\n\n"}, {"usage": USAGE}, "[DONE]", pieces=1), (30, None, 4)),
        ("completions", whole({"usage": USAGE}), (30, None, 4)),
        # Several answers (`n`, or a list of prompts): the usage is that of all.
        (
            "chat/completions",
            whole({"choices": [{"index": index} for index in range(3)], "usage": USAGE}),
            (30, None, 4),
        ),
        (
            "chat/completions",
            stream(*({"choices": [{"index": index}]} for index in (0, 1, 0, 1)), {"choices": [], "usage": USAGE}),
            (30, None, 4),
        ),
        ("embeddings", whole({"data": [], "usage": {"prompt_tokens": 30, "total_tokens": 30}}), (30, None, None)),
        ("messages", whole({"type": "message", "usage": ANTHROPIC}), (30, 20, 4)),
        (
            "messages",
            stream(
                {"type": "message_start", "message": {"usage": {**ANTHROPIC, "output_tokens": 0}}},
                {"type": "message_delta", "usage": {"output_tokens": 4}},
            ),
            (30, 20, 4),
        ),
        ("responses", whole({"usage": RESPONSES}), (30, 20, 4)),
        ("responses", stream({"response": {}}, {"response": {"usage": RESPONSES}}), (30, 20, 4)),
        ("chat/completions", whole({"usage": None}), (None, None, None)),
        ("chat/completions", whole([1, 2]), (None, None, None)),
        ("chat/completions", stream("not JSON", "{", "[DONE]"), (None, None, None)),
        ("chat/completions", stream("0", "null", "[]", '"x"', "true", {"usage": USAGE}), (30, None, 4)),
        ("chat/completions", whole(0), (None, None, None)),
        ("chat/completions", whole('"usage": {"prompt_tokens": 7}'), (None, None, None)),
        ("chat/completions", stream({"a": '{"usage": {"prompt_tokens": 7}}'}, {"usage": USAGE}), (30, None, 4)),
        ("chat/completions", stream({"usage": USAGE}, {"usage": None}, {"usage": [7]}, {"usage": "7"}), (30, None, 4)),
        ("chat/completions", stream({"usage": {"prompt_tokens": "7", "completion_tokens": -1}}), (None, None, None)),
        ("chat/completions", whole({"usage": {"prompt_tokens": 10**30}}), (None, None, None)),
        ("chat/completions", whole({"usage": USAGE, "tools": [{"usage": {"prompt_tokens": 0}}]}), (30, None, 4)),
        ("chat/completions", whole({"usage": USAGE, "x": {"usage": {"prompt_tokens": 0}}}), (30, None, 4)),
        (
            "chat/completions",
            stream({"usage": USAGE}, {"x": {"timings": TIMINGS}}, [{"usage": USAGE}]),
            (30, None, 4),
        ),
        ("chat/completions", whole({"usage": USAGE, "x-y": {"prompt_tokens": 0}}), (30, None, 4)),
        ("responses", whole({"response": {"x": {"usage": {"input_tokens": 1}}}, "usage": RESPONSES}), (30, 20, 4)),
        ("chat/completions", whole({"usage": {"note": "}", **USAGE}}), (30, None, 4)),
        ("chat/completions", whole('{"usage": {"prompt_tokens": 1e3, "completion_tokens": 1.5}}'), (None, None, None)),
        ("chat/completions", stream({"x": '\\"\\\\'}, {"usage": USAGE}), (30, None, 4)),
        ("chat/completions", whole({"x": "y" * 300_000, "usage": USAGE}), (30, None, 4)),
        ("chat/completions", whole({"usage": {"x": ["y"] * 10_000, "prompt_tokens": 7}}), (7, None, None)),
    ],
)
async def test_tokens_are_those_that_the_answer_says(
    gateway: Gateway, first: Upstream, path: str, answer: Answer, tokens: tuple[int | None, int | None, int | None]
) -> None:
    first.answer = answer
    await gateway.publish(model("chat", first.endpoint()))
    used = await used_by(gateway, f"/v1/{path}")
    assert (used.tokens_in, used.tokens_cached, used.tokens_out) == tokens
    assert (used.model, used.replica, used.status, used.path) == ("chat", "model.chat.0", 200, f"/v1/{path}")
    assert used.client_gone is False


async def test_the_model_of_a_provider_is_known_also_where_it_answers_for_another(
    gateway: Gateway, first: Upstream
) -> None:
    """Several models of one host have several prices."""
    first.answer = whole({"usage": USAGE})
    async with upstream("provider") as provider:
        provider.answer = first.answer
        there = ExternalTarget(url=f"http://{provider.address}/v1")
        big = model("big", external=there)
        await gateway.publish(model("chat", external=there, routing=Routing(split=(("big", 100),))), big)
        used = await used_by(gateway, "/v1/chat/completions")
        assert (used.model, used.answered_by, used.tokens_in) == ("chat", "big", 30)
        assert used.replica == f"model.big@{provider.address}"
        await gateway.publish(model("chat", routing=Routing(fallback="big")), big)
        assert (await used_by(gateway, "/v1/chat/completions")).answered_by == "big"
        await gateway.publish(model("chat", external=there), big)
        assert (await used_by(gateway, "/v1/chat/completions")).answered_by == "chat"


@pytest.mark.parametrize("pieces", range(1, 60, 7))
async def test_a_stream_may_be_cut_anywhere(gateway: Gateway, first: Upstream, pieces: int) -> None:
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 20}}
    first.answer = stream({"choices": [{"delta": {"content": "{}"}}]}, {"usage": usage}, "[DONE]", pieces=pieces)
    await gateway.publish(model("chat", first.endpoint()))
    used = await used_by(gateway, "/v1/chat/completions")
    assert (used.tokens_in, used.tokens_cached, used.tokens_out) == (30, 20, 4)


async def test_a_line_has_no_part_of_a_prompt_an_answer_or_a_secret(gateway: Gateway, first: Upstream) -> None:
    first.answer = whole({"choices": [{"message": {"content": "PRIVATE answer"}}], "usage": USAGE})
    await gateway.publish(model("chat", first.endpoint()))
    before = len(written(gateway))
    headers = {"authorization": "Bearer PRIVATE", "x-api-key": "PRIVATE", "user-agent": "PRIVATE"}
    headers |= {"traceparent": "PRIVATE", "tracestate": "PRIVATE"}
    await gateway.ask("GET", "/v1/models/PRIVATE")
    await gateway.ask("POST", "/v1/PRIVATE")
    for name in ("chat", "PRIVATE model"):
        body = {"model": name, "messages": [{"role": "user", "content": "PRIVATE prompt"}]}
        await gateway.ask("POST", "/v1/chat/completions?key=PRIVATE", json=body, headers=headers)
    used = await lines(gateway, before + 2)
    assert [(each.model, each.status) for each in used[-2:]] == [("chat", 200), (None, 404)]
    assert "PRIVATE" not in (gateway.base / "requests.jsonl").read_text()


REASONS = [
    ("chat/completions", whole({"choices": [{"finish_reason": "stop", "index": 0}]}), "stop"),
    (
        "chat/completions",
        stream({"choices": [{"finish_reason": None}]}, {"choices": [{"finish_reason": "length"}]}),
        "length",
    ),
    ("chat/completions", whole({"choices": {"finish_reason": "stop"}, "finish_reason": "stop"}), None),
    ("messages", whole({"stop_reason": "end_turn", "usage": ANTHROPIC}), "end_turn"),
    ("messages", stream({"message": {"stop_reason": None}}, {"delta": {"stop_reason": "max_tokens"}}), "max_tokens"),
    ("messages", whole({"stop_reason": "a reason of\n its own", "usage": ANTHROPIC}), None),
    (
        "chat/completions",
        whole({"choices": [{"message": {"finish_reason": "x"}, "finish_reason": "tool_calls"}]}),
        "tool_calls",
    ),
]


@pytest.mark.parametrize(("path", "answer", "reason"), REASONS)
@pytest.mark.parametrize("pieces", [3, 10_000])
async def test_the_reason_why_an_answer_ended_is_a_word_of_its_api(
    gateway: Gateway, first: Upstream, path: str, answer: Answer, reason: str | None, pieces: int
) -> None:
    async def cut_up(request: web.Request) -> web.StreamResponse:
        made = await answer(request)
        if not isinstance(made, web.Response):
            return made
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        body = made.body
        assert isinstance(body, bytes)
        for at in range(0, len(body), pieces):
            await response.write(body[at : at + pieces])
            await asyncio.sleep(0)
        return response

    first.answer = cut_up
    await gateway.publish(model("chat", first.endpoint()))
    assert (await used_by(gateway, f"/v1/{path}")).stop_reason == reason


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("headers", "traceparent"),
    [
        ([], None),
        ([TRACE], TRACE),
        ([f"{TRACE[:-2]}00"], f"{TRACE[:-2]}00"),
        ([f" {TRACE} "], TRACE),
        ([TRACE.upper()], None),
        ([f"01{TRACE[2:]}"], None),
        ([f"{TRACE}-x"], None),
        ([f"x{TRACE}"], None),
        ([TRACE * 2], None),
        ([TRACE.replace("-b7", "0" * 1000 + "-b7")], None),
        ([TRACE, TRACE], None),
        ([TRACE, "x"], None),
        (["a text of the client"], None),
        ([""], None),
    ],
)
async def test_a_line_says_which_trace_the_request_belongs_to_if_its_header_has_the_form(
    gateway: Gateway, first: Upstream, headers: list[str], traceparent: str | None
) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    sent = CIMultiDict([("traceparent", value) for value in headers])
    used = await used_by(gateway, "/v1/chat/completions", headers=sent)
    assert (used.traceparent if parent_of(used) else None) == traceparent
    assert len(used.traceparent or "") <= 56
    # A replica gets what the client has sent.
    assert first.seen[-1].headers.getall("traceparent", []) == [value.strip() for value in headers]


async def test_a_request_that_is_refused_says_its_trace_as_well(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    before = len(written(gateway))
    await gateway.chat("nope", headers={"traceparent": TRACE})
    used = (await lines(gateway, before + 1))[-1]
    assert (used.status, used.method, used.traceparent) == (404, "POST", TRACE)


async def test_a_replica_that_breaks_off_is_marked(gateway: Gateway, first: Upstream) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"choices": []}\n\n')
        assert request.transport
        request.transport.abort()
        return response

    first.answer = answer
    await gateway.publish(model("chat", first.endpoint()))
    before = len(written(gateway))
    with suppress(aiohttp.ClientError):
        await gateway.chat()
    used = (await lines(gateway, before + 1))[-1]
    assert (used.status, used.broken, used.client_gone) == (200, True, False)
    first.answer = whole({"usage": USAGE})
    assert (await used_by(gateway, "/v1/chat/completions")).broken is False


async def test_a_request_that_was_sent_to_a_replica_is_known_if_the_gateway_is_killed(library: Path | None) -> None:
    """Its key too: an engine has worked for it."""
    async with running_gateway(library) as gateway, upstream("model.chat.0", gateway.base / "0.sock") as first:
        over = asyncio.Event()

        async def answer(_: web.Request) -> web.StreamResponse:
            await over.wait()
            return web.json_response({})

        first.answer = answer
        _, secret = gateway.keys.create(ApiKey(name="ci", owner="me", created_at=0.0))
        await gateway.publish(model("chat", first.endpoint()))
        asking = asyncio.create_task(gateway.chat(headers={"authorization": f"Bearer {secret}"}))

        async def is_there() -> bool:
            return bool(first.seen)

        await eventually(is_there)
        await asyncio.sleep(0.3)  # longer than lines wait to be written
        await gateway.end(REPLICA)
        with pytest.raises(aiohttp.ClientError):
            await asking
        ledger = Ledger(gateway.base)
        assert list(ledger.read(since=0, until=1e12)) == []
        (cut,) = ledger.cut(before=1e12)
        assert (cut.key, cut.model, cut.replica, cut.path) == ("ci", "chat", "model.chat.0", "/v1/chat/completions")
        assert cut.bytes_in == len(json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hello"}]}))
        over.set()


async def test_a_client_that_has_gone_is_marked_and_its_tokens_are_unknown(gateway: Gateway, first: Upstream) -> None:
    begun = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"choices": []}\n\n')
        begun.set()
        await asyncio.sleep(30)
        return response

    first.answer = answer
    await gateway.publish(model("chat", first.endpoint()))
    before = len(written(gateway))
    with pytest.raises(TimeoutError):
        await gateway.ask(
            "POST", "/v1/chat/completions", json={"model": "chat"}, timeout=aiohttp.ClientTimeout(total=0.5)
        )
    used = (await lines(gateway, before + 1))[-1]
    assert begun.is_set()
    assert (used.client_gone, used.tokens_in, used.tokens_out, used.events) == (True, None, None, 1)


async def test_every_request_has_one_line_whatever_it_is_answered(gateway: Gateway, first: Upstream) -> None:
    first.answer = whole({"usage": USAGE})
    await gateway.publish(model("chat", first.endpoint()))
    before = {used.id for used in Ledger(gateway.base).read(since=0, until=1e12)}
    answers = await asyncio.gather(
        *(gateway.chat("chat" if number % 2 else "nope") for number in range(200)), gateway.ask("GET", "/healthz")
    )
    await lines(gateway, len(before) + 200)
    now = [used.id for used in Ledger(gateway.base).read(since=0, until=1e12) if used.id not in before]
    assert sorted(now) == sorted(answer.headers["x-request-id"] for answer in answers[:-1])


@pytest.mark.parametrize("seed", range(6))
async def test_no_answer_ends_the_gateway(gateway: Gateway, first: Upstream, seed: int) -> None:
    """Random answers: whole or streamed, valid or not, with the words that the filters look for."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    words = [
        '"usage"',
        '"timings"',
        ":",
        "{",
        "}",
        "[",
        "]",
        "0",
        "-1",
        "1e9",
        '"',
        "\\",
        "null",
        " ",
        "\n\n",
        "data: ",
    ]
    words += [
        '"prompt_tokens"',
        '"predicted_n"',
        "true",
        "é",
        "\x00",
        "9" * 40,
        '{"usage":{"prompt_tokens":3}}',
        "x" * 900,
    ]
    await gateway.publish(model("chat", first.endpoint()))
    for _ in range(40):
        text = "".join(rng.choices(words, k=rng.randrange(60))).encode()[: rng.randrange(1, 9000)]
        kind = rng.choice(["application/json", "text/event-stream", "text/plain", "application/json; charset=x"])
        sizes = [rng.randrange(1, 200) for _ in range(50)]

        async def answer(request: web.Request, text: bytes = text, kind: str = kind, sizes: list[int] = sizes) -> Any:
            response = web.StreamResponse(headers={"content-type": kind})
            await response.prepare(request)
            rest = text
            for size in sizes:
                await response.write(rest[:size])
                rest = rest[size:]
            await response.write(rest)
            return response

        first.answer = answer
        found = await gateway.chat()
        assert (found.status, found.body) == (200, text)
    assert await gateway.stat("server.live") == 1


@pytest.mark.parametrize("seed", range(6))
async def test_no_request_ends_the_gateway(gateway: Gateway, first: Upstream, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - no secret
    words = [
        '"model"',
        '"chat"',
        ":",
        "{",
        "}",
        "[",
        "]",
        "0",
        '"',
        "\\",
        "\\u0000",
        "null",
        ",",
        " ",
        "1e999",
        "é",
        "\xff",
    ]
    first.answer = whole({"usage": USAGE})
    await gateway.publish(model("chat", first.endpoint()))
    for _ in range(60):
        body = "".join(rng.choices(words, k=rng.randrange(40))).encode()
        kind = rng.choice(["application/json", "text/plain", "", "application/x+json"])
        path = rng.choice(["/v1/chat/completions", "/v1/messages", "/v1/nope", "/v1/models/x"])
        answer = await gateway.ask("POST", path, data=body, headers={"content-type": kind})
        assert answer.status in {200, 400, 404, 405}, answer
    assert await gateway.stat("server.live") == 1
