"""The translator behind the real Envoy, with an upstream that says what a test wants: what good clients do not do."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import Endpoint, Hold
from bateau.domain.issuer import Issuer, SigningKeys
from bateau.store.ledger import Ledger
from bateau.testing.source import model_file
from traffic.gateway import Answer, Gateway, eventually, model, translated
from traffic.issuer import AUDIENCE, RealIssuer
from traffic.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(gateway: Gateway) -> AsyncIterator[Endpoint]:
    """The real translator, as a process."""
    socket = gateway.base / "translator.sock"
    command = ["-m", "bateau.traffic.translator", "--socket", str(socket), "--gateway", str(gateway.inner)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:

        async def listens() -> bool:
            return socket.exists()

        await eventually(listens)
        yield Endpoint(replica="gateway.translator.0", address=str(socket))
    finally:
        process.terminate()
        await process.wait()


@pytest_asyncio.fixture(loop_scope="module")
async def served(gateway: Gateway, first: Upstream, running: Endpoint) -> Gateway:
    """The gateway with one model, and the translator."""
    await gateway.publish(model("chat", first.endpoint()), translated(running))
    return gateway


def events(*datas: dict[str, Any], end: bytes = b"data: [DONE]\n\n", cut: int = 0) -> Any:
    """Return a handler that streams these events, in pieces of `cut` bytes, or whole."""
    body = b"".join(b"data: " + json.dumps(data).encode() + b"\n\n" for data in datas) + end

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for at in range(0, len(body), cut or len(body)):
            await response.write(body[at : at + (cut or len(body))])
            if cut:
                await asyncio.sleep(0)
        return response

    return answer


def piece(text: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, **more}]}


async def ask(gateway: Gateway, path: str = "/api/chat", body: Any = None, **options: Any) -> Answer:
    return await gateway.ask("POST", path, json=CHAT if body is None else body, **options)


def lines(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.body.splitlines()]


@pytest.mark.parametrize("cut", [0, 1, 7])
async def test_a_stream_is_the_same_wherever_its_bytes_are_cut(served: Gateway, first: Upstream, cut: int) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    last: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "usage": usage}
    end: dict[str, Any] = {"choices": [], "usage": usage}
    first.answer = events(piece("東"), piece("京\n"), last, end, cut=cut)
    answer = await ask(served)
    assert answer.headers["content-type"] == "application/x-ndjson"
    found = lines(answer)
    assert [each["message"]["content"] for each in found] == ["東", "京\n", ""]
    assert {key: found[-1][key] for key in ("done", "done_reason", "prompt_eval_count", "eval_count")} == {
        "done": True,
        "done_reason": "length",
        "prompt_eval_count": 3,
        "eval_count": 2,
    }


async def test_calls_of_tools_are_put_together_from_their_pieces(served: Gateway, first: Upstream) -> None:
    def call(**function: str) -> dict[str, Any]:
        return {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": function}]}}]}

    first.answer = events(call(name="weather", arguments='{"ci'), call(arguments='ty": "Oslo"}'))
    calls = lines(await ask(served))[-1]["message"]["tool_calls"]
    assert calls == [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]


async def test_results_of_tools_belong_to_the_calls_of_their_name(served: Gateway, first: Upstream) -> None:
    calls = [{"function": {"name": name, "arguments": {"n": 1}}} for name in ("one", "two")]
    messages = [
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "2", "tool_name": "two"},
        {"role": "tool", "content": "1", "tool_name": "one"},
    ]
    await ask(served, body={"model": "chat", "messages": messages, "stream": False})
    sent = json.loads(first.seen[-1].body)["messages"]
    ids = {call["function"]["name"]: call["id"] for call in sent[0]["tool_calls"]}
    assert [sent[1]["tool_call_id"], sent[2]["tool_call_id"]] == [ids["two"], ids["one"]]
    assert sent[0]["tool_calls"][0]["function"]["arguments"] == '{"n": 1}'


async def test_options_format_and_images_have_their_names_at_the_engine(served: Gateway, first: Upstream) -> None:
    body = {
        "model": "chat",
        "prompt": "what is this",
        "system": "be brief",
        "images": ["aGk="],
        "format": {"type": "object"},
        "options": {"num_predict": -1, "temperature": 0, "num_ctx": 9, "stop": ["x"], "repeat_penalty": 1.1},
        "stream": False,
        "keep_alive": "5m",
    }
    await ask(served, "/api/generate", body)
    sent = json.loads(first.seen[-1].body)
    assert sent["messages"][0] == {"role": "system", "content": "be brief"}
    assert sent["messages"][1]["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="
    assert {key: sent.get(key) for key in ("temperature", "stop", "repeat_penalty", "max_tokens", "num_ctx")} == {
        "temperature": 0,
        "stop": ["x"],
        "repeat_penalty": 1.1,
        "max_tokens": None,
        "num_ctx": None,
    }
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/api/chat", b"{", "could not be parsed"),
        ("/api/chat", b"[" * 100_000, "could not be parsed"),
        ("/api/chat", b"[]", "could not be parsed"),
        ("/api/chat", {}, "model is required"),
        ("/api/chat", {"model": 1}, "model is required"),
        ("/api/chat", {"model": "chat", "messages": ["x"]}, "messages[0]"),
        ("/api/chat", {"model": "chat", "messages": [{"role": "user", "content": 1}]}, "messages[0]"),
        ("/api/chat", {**CHAT, "options": []}, "options is not an object"),
        ("/api/chat", {**CHAT, "format": "xml"}, "format is neither"),
        ("/api/generate", {"model": "chat", "prompt": "a", "suffix": "b"}, "suffix is not supported"),
        ("/api/embed", {"model": "chat", "input": 1}, "input is required"),
        ("/api/embeddings", {"model": "chat"}, "prompt is required"),
        ("/v2/models/chat/infer", {"inputs": []}, "one input"),
        ("/v2/models/chat/infer", {"inputs": [{"name": "a", "datatype": "FP32", "shape": [1], "data": [1]}]}, "BYTES"),
        ("/v2/models/chat/infer", {"inputs": [{"name": "a", "datatype": "BYTES", "shape": [2], "data": ["x"]}]}, "2"),
        ("/v2/models/chat/infer", {"inputs": [{"name": "a", "datatype": "BYTES", "shape": [-1], "data": []}]}, "shape"),
    ],
)
async def test_bad_input_is_named_in_the_shape_of_the_api(served: Gateway, path: str, body: Any, says: str) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await served.ask("POST", path, data=sent, headers={"content-type": "application/json"})
    assert (answer.status, list(answer.tree)) == (400, ["error"])
    assert says in answer.tree["error"]


def texts_of(name: str, *texts: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [len(texts)], "data": list(texts), **more}


async def infer(gateway: Gateway, *tensors: dict[str, Any]) -> Answer:
    return await ask(gateway, "/v2/models/chat/infer", {"inputs": list(tensors)})


async def test_pairs_of_texts_are_ranked(gateway: Gateway, first: Upstream, running: Endpoint) -> None:
    """The best one comes first in the answer of an engine, and each score is that of its pair."""

    async def rank(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        scored = [(index, len(body["query"] + text)) for index, text in enumerate(body["documents"])]
        scored.sort(key=lambda pair: -pair[1])
        return web.json_response({"results": [{"index": each, "relevance_score": score} for each, score in scored]})

    first.answer = rank
    await gateway.publish(model("chat", first.endpoint(), task="rerank"), translated(running))
    about = (await gateway.ask("GET", "/v2/models/chat")).tree
    assert [each["name"] for each in about["inputs"]] == ["query", "document"]
    assert about["outputs"] == [{"name": "score", "datatype": "FP32", "shape": [-1]}]
    documents = texts_of("document", "a", "bbbb", "cc")
    one = (await infer(gateway, documents, texts_of("query", "q"))).tree["outputs"][0]
    assert one == {"name": "score", "datatype": "FP32", "shape": [3], "data": [2, 5, 3]}
    first.seen.clear()
    each = await infer(gateway, texts_of("query", "q", "qqq", "q"), documents)
    assert each.tree["outputs"][0]["data"] == [2, 7, 3]
    assert [seen.path for seen in first.seen] == ["/v1/rerank"] * 2, "one request for each query"
    for wrong in (
        [documents],
        [texts_of("query", "q"), texts_of("query", "q")],
        [texts_of("query", "q"), texts_of("text_input", "q")],
        [texts_of("query", "q", "q"), documents],
        [texts_of("query"), documents],
        [texts_of("query", "q"), {**documents, "datatype": "FP32"}],
    ):
        assert (await infer(gateway, *wrong)).status == 400, wrong


async def test_one_refused_text_of_several_refuses_all_with_its_message(served: Gateway, first: Upstream) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        if "bad" in await request.text():
            return web.json_response({"error": {"message": "too long"}}, status=400)
        await asyncio.sleep(0.05)
        return web.json_response({"choices": [{"message": {"content": "x"}}]})

    first.answer = refuse
    answer = await infer(served, texts_of("text_input", *("good",) * 9, "bad", *("good",) * 9))
    assert (answer.status, answer.tree) == (400, {"error": "too long"})


@pytest.mark.parametrize(
    ("length", "tail", "says"),
    [
        ("x", b"", "is not the length"),
        ("99999", b"", "is not the length"),
        (None, b"\x05\x00\x00\x00ab", "ends in the middle"),
        (None, b"\x02\x00", "ends in the middle"),
        (None, b"\x01\x00\x00\x00\xff", "not UTF-8"),
    ],
)
async def test_binary_tensors_are_read_within_their_bounds(
    served: Gateway, length: str | None, tail: bytes, says: str
) -> None:
    tensor = {"name": "a", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(tail)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"inference-header-content-length": length or str(len(head))}
    answer = await served.ask("POST", "/v2/models/chat/infer", data=head + tail, headers=headers)
    assert answer.status == 400
    assert says in answer.tree["error"]


async def test_an_error_of_a_model_keeps_its_status_and_its_message(served: Gateway, first: Upstream) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "too long"}}, status=400, headers={"retry-after": "7"})

    first.answer = refuse
    for path, body in (("/api/chat", CHAT), ("/api/embed", {"model": "chat", "input": "a"})):
        answer = await ask(served, path, body)
        assert (answer.status, answer.tree, answer.headers["retry-after"]) == (400, {"error": "too long"}, "7")
    missing = await ask(served, body={**CHAT, "model": "nope"})
    assert (missing.status, "chat" in missing.tree["error"]) == (404, True)


async def test_a_stream_that_breaks_ends_with_an_error(served: Gateway, first: Upstream) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: " + json.dumps(piece("one")).encode() + b"\n\n")
        await asyncio.sleep(0.1)
        assert request.transport
        request.transport.abort()
        return response

    first.answer = breaks
    found = lines(await ask(served))
    assert found[0]["message"]["content"] == "one"
    assert list(found[-1]) == ["error"]
    first.answer = events(piece("one"), {"error": {"message": "out of memory"}}, end=b"")
    assert lines(await ask(served))[-1] == {"error": "out of memory"}


async def test_a_role_that_no_engine_has_is_400_in_the_shape_of_the_api(
    served: Gateway, first: Upstream, library: Path | None
) -> None:
    """C4."""
    body = {"model": "chat", "messages": [{"role": "alien", "content": "hi"}], "stream": False}
    answer = await ask(served, body=body)
    assert answer.status == (200 if library is None else 400), "only the native filter can see it"
    if library:
        assert list(answer.tree) == ["error"]
        assert "needs a `role`" in answer.tree["error"]
        assert not first.seen


async def test_models_are_described_by_their_files(gateway: Gateway, first: Upstream, running: Endpoint) -> None:
    file = model_file("chat", size_bytes=1000)
    header = replace(file.header, parameters=134_515_008, quantization="Q8_0")
    known = model("chat", first.endpoint(), created=1_700_000_000, file=replace(file, sha256="ab" * 32, header=header))
    sleepy = model("sleepy", first.endpoint(), generation=1, idle_after_s=60.0, file=file)
    asleep = model("asleep", generation=1, hold=Hold(requests_max=1, wait_s=1.0, says="a test"))
    await gateway.publish(known, sleepy, asleep, translated(running))
    found = {each["name"]: each for each in (await gateway.ask("GET", "/api/tags")).tree["models"]}
    assert found["chat:latest"] == {
        "name": "chat:latest",
        "model": "chat:latest",
        "modified_at": "2023-11-14T22:13:20Z",
        "digest": "ab" * 32,
        "size": 1000,
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "134.52M",
            "quantization_level": "Q8_0",
        },
    }
    assert "parameter_size" not in found["sleepy:latest"]["details"]
    assert "modified_at" not in found["sleepy:latest"]
    assert ("size" in found["asleep:latest"], found["asleep:latest"]["details"]) == (False, {"parent_model": ""})
    assert {len(each["digest"]) for each in found.values()} == {64}
    loaded = {each["name"]: each for each in (await gateway.ask("GET", "/api/ps")).tree["models"]}
    assert loaded.keys() == {"chat:latest", "sleepy:latest"}
    assert loaded["chat:latest"]["expires_at"].startswith("2999")
    left = datetime.fromisoformat(loaded["sleepy:latest"]["expires_at"]) - datetime.now(tz=UTC)
    assert timedelta(seconds=30) < left < timedelta(seconds=61)
    shown = (await ask(gateway, "/api/show", {"model": "chat"})).tree
    assert shown["details"] == found["chat:latest"]["details"]
    assert shown["model_info"] == {
        "general.architecture": "llama",
        "general.parameter_count": 134_515_008,
        "llama.context_length": 2048,
    }


@pytest.mark.parametrize("keep_alive", [0, "0", "0s", "0h0m"])
async def test_a_model_is_unloaded_by_its_spec_only(
    gateway: Gateway, first: Upstream, running: Endpoint, keep_alive: Any
) -> None:
    hold = Hold(requests_max=1, wait_s=1.0, says="a test")
    await gateway.publish(
        model("chat", first.endpoint()), model("asleep", hold=hold, generation=1), translated(running)
    )
    refused = await ask(gateway, "/api/generate", {"model": "chat", "keep_alive": keep_alive})
    assert (refused.status, "chat stays loaded" in refused.tree["error"]) == (501, True)
    done = await ask(gateway, "/api/generate", {"model": "asleep", "keep_alive": keep_alive, "stream": False})
    assert (done.status, done.tree["done_reason"]) == (200, "unload")
    answered = await ask(gateway, body={**CHAT, "keep_alive": keep_alive, "stream": False})
    assert answered.status == 200, "with a prompt it has no effect"
    for lasting in (-1, "5m", "1h30m", None):
        loaded = await ask(gateway, "/api/chat", {"model": "chat", "keep_alive": lasting, "stream": False})
        assert loaded.tree["done_reason"] == "load"


WORDS: dict[str, int] = {"[CLS]": 2, "[SEP]": 3, **{chr(97 + number): 10 + number for number in range(26)}}


def small_engine(most: int) -> Any:
    """Return a handler that has embeddings for texts of some tokens, with llama.cpp's words for longer ones."""

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if request.path == "/tokenize":
            assert body["add_special"] is True
            return web.json_response({"tokens": tokens(body["content"])})
        given = [tokens(each) if isinstance(each, str) else each for each in body["input"]]
        if longer := next((each for each in given if len(each) > most), None):
            says = f"input ({len(longer)} tokens) is too large to process. increase the physical batch size "
            says += f"(current batch size: {most})"
            return web.json_response({"error": {"code": 500, "message": says, "type": "server_error"}}, status=500)
        data = [{"embedding": each, "index": index} for index, each in enumerate(given)]
        return web.json_response({"data": data, "usage": {"prompt_tokens": sum(map(len, given))}})

    def tokens(text: str) -> list[int]:
        return [WORDS["[CLS]"], *(WORDS[word] for word in text.split()), WORDS["[SEP]"]]

    return answer


async def test_long_texts_are_cut_to_the_context_for_embeddings(
    gateway: Gateway, first: Upstream, running: Endpoint
) -> None:
    """As in Ollama: unless the client asks for an error."""
    await gateway.publish(model("chat", first.endpoint(), engine="llama.cpp"), translated(running))
    first.answer = small_engine(4)
    texts = ["a", "a b c d e", "a b"]
    answer = await ask(gateway, "/api/embed", {"model": "chat", "input": texts})
    assert answer.tree["embeddings"] == [[2, 10, 3], [2, 10, 11, 3], [2, 10, 11, 3]]
    assert answer.tree["prompt_eval_count"] == 11
    whole = await ask(gateway, "/api/embed", {"model": "chat", "input": texts, "truncate": False})
    assert (whole.status, whole.tree["error"]) == (
        400,
        "an input is longer than the context of the model, which is 4 tokens",
    )
    old = await ask(gateway, "/api/embeddings", {"model": "chat", "prompt": "a b c d e"})
    assert old.tree == {"embedding": [2, 10, 11, 3]}
    first.seen.clear()
    await ask(gateway, "/api/embed", {"model": "chat", "input": ["a", "b"]})
    assert [seen.path for seen in first.seen] == ["/v1/embeddings"], "texts that fit are sent once"


async def test_a_client_that_leaves_ends_the_request_at_the_replica(served: Gateway, first: Upstream) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(b"data: " + json.dumps(piece("a")).encode() + b"\n\n")
            await asyncio.sleep(0.02)

    first.answer = endless
    async with served.session.post("/api/chat", json=CHAT) as response:
        await response.content.readany()

    async def is_cut_off() -> bool:
        return first.cut_off == 1

    await eventually(is_cut_off)


async def test_a_web_page_of_another_origin_gets_no_answer(served: Gateway, first: Upstream) -> None:
    """A browser sends this content type to any origin without asking."""
    headers = {"origin": "https://evil.example", "content-type": "text/plain"}
    answer = await served.ask("POST", "/api/chat", data=json.dumps(CHAT), headers=headers)
    assert answer.status == 415
    assert first.seen == []
    foreign = await ask(served, headers={"host": "evil.example"})
    assert foreign.status == 403


async def test_a_sleeping_translator_is_woken_by_a_request_with_and_without_a_body(
    gateway: Gateway, first: Upstream, running: Endpoint
) -> None:
    chat = model("chat", first.endpoint())
    for generation, (method, path, body) in enumerate((("GET", "/api/tags", None), ("POST", "/api/chat", CHAT))):
        hold = Hold(requests_max=64, wait_s=10.0, says="it starts")
        await gateway.publish(chat, translated(generation=generation, hold=hold))
        held = asyncio.create_task(gateway.ask(method, path, json=body))

        async def is_asked(generation: int = generation) -> bool:
            return gateway.plane.observe().asked == {"gateway/translator": generation}

        await eventually(is_asked)
        await gateway.publish(chat, translated(running, generation=generation))
        assert (await held).status == 200


async def test_keys_are_checked_once_and_no_secret_reaches_the_translator(served: Gateway, first: Upstream) -> None:
    _, limited = served.keys.create(
        ApiKey(name="limited", owner="me", created_at=time.time(), models=("chat",), requests_per_minute=3)
    )
    _, other = served.keys.create(ApiKey(name="other", owner="me", created_at=time.time(), models=("none",)))

    async def is_refused() -> bool:
        return (await ask(served)).status == 401

    await eventually(is_refused)
    assert (await ask(served)).tree["error"].startswith("This endpoint needs an API key")
    # No header that a client may send passes for the name of a key.
    assert (await ask(served, headers={"x-bateau-key": "limited"})).status == 401
    headers = {"authorization": f"Bearer {limited}"}
    first.seen.clear()
    statuses = [(await ask(served, body={**CHAT, "stream": False}, headers=headers)).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert {seen.headers["x-bateau-key"] for seen in first.seen} == {"limited"}
    assert not {"authorization"} & {name.lower() for seen in first.seen for name in seen.headers}
    forbidden = await ask(served, headers={"authorization": f"Bearer {other}"})
    assert (forbidden.status, "may not use this model" in forbidden.tree["error"]) == (403, True)

    async def is_written() -> bool:
        found = [each for each in Ledger(served.base).read(since=0, until=time.time() + 60) if each.key == "limited"]
        return [each.status for each in found] == [200, 200, 200, 429]

    await eventually(is_written)


async def test_the_second_request_has_the_models_and_the_owner_of_the_token(served: Gateway, first: Upstream) -> None:
    real = RealIssuer()
    issuer = Issuer(name="corp", url=real.url, audiences=(AUDIENCE,), created_at=1.0)
    jwks = json.dumps({"keys": [real.key.public]})
    served.keys.admit_issuer(issuer, SigningKeys(url=real.url, jwks=jwks, fetched_at=1.0))
    try:
        allowed, other = (
            {"authorization": f"Bearer {real.key.token(real.claims(bateau_models=models, email='ada@example.org'))}"}
            for models in ("chat", "embed")
        )

        async def is_known() -> bool:
            status = (await ask(served, headers=allowed)).status
            # Envoy reads its files one by one: until it has all, the endpoint may be open.
            return status == 200 and first.seen[-1].headers.get("x-bateau-key") == "jwt:corp:ada"

        first.answer = events(piece("a"))
        await eventually(is_known)
        assert not {"authorization", "x-bateau-owner", "x-bateau-models"} & {*map(str.lower, first.seen[-1].headers)}
        for headers in (other, {**other, "x-bateau-models": "*"}):
            refused = await ask(served, headers=headers)
            assert (refused.status, refused.tree) == (
                403,
                {"error": "The token of 'jwt:corp:ada' does not allow this model."},
            )
        assert (await ask(served, headers={"x-bateau-models": "*", "x-bateau-key": "jwt:corp:ada"})).status == 401

        async def written() -> bool:
            found = [used for used in Ledger(served.base).read(since=0, until=1e12) if used.owner == "ada@example.org"]
            return {(used.key, used.model, used.status) for used in found} >= {
                ("jwt:corp:ada", "chat", 200),
                ("jwt:corp:ada", "chat", 403),
            }

        await eventually(written)
    finally:
        served.keys.dismiss_issuer("corp")
        served.keys.publish(open_to_all=True)
