"""What real clients met at the endpoint; the numbers are those of the list of such cases."""

import asyncio
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bateau.domain.endpoint import ExternalTarget
from bateau.traffic.envoy.api_paths import MODEL_PATHS, TOKENIZE
from traffic.gateway import Gateway, model
from traffic.upstream import Stream, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = b'{"model": "chat", "messages": [{"role": "user", "content": "hi"}]}'
CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "hi"}


async def raw(gateway: Gateway, head: str, body: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    length = f"content-length: {len(body)}\r\ncontent-type: application/json\r\n" if body else ""
    writer.write(f"{head}\r\n{length}\r\n".encode() + body)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


@pytest.mark.parametrize("host", ["", "host: localhost\r\n"])
async def test_http_1_0_is_answered(gateway: Gateway, first: Upstream, host: str) -> None:
    """C1: also with the plain `proxy_pass` of nginx."""
    await gateway.publish(model("chat", first.endpoint()))
    answer = await raw(gateway, f"POST /v1/chat/completions HTTP/1.0\r\n{host}".rstrip("\r\n"), BODY)
    assert answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")), answer
    assert b"model.chat.0" in answer


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nope"),
        ("GET", "/v1/files"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/audio/transcriptions"),
        ("DELETE", "/v1/models"),
        ("PUT", "/"),
    ],
)
async def test_a_path_that_does_not_exist_is_404(gateway: Gateway, first: Upstream, method: str, path: str) -> None:
    """C2."""
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask(method, path)
    assert (answer.status, answer.error["code"]) == (404, "unknown_path")


async def test_an_upload_to_a_path_that_does_not_exist_is_404(gateway: Gateway, first: Upstream) -> None:
    """C2."""
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("POST", "/v1/audio/transcriptions", data={"file": io.BytesIO(b"RIFF"), "model": "chat"})
    assert (answer.status, answer.error["code"]) == (404, "unknown_path")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD"])
async def test_a_wrong_method_is_405_and_names_the_right_one(gateway: Gateway, first: Upstream, method: str) -> None:
    """C2."""
    await gateway.publish(model("chat", first.endpoint()))
    for path in MODEL_PATHS:
        answer = await gateway.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        if method != "HEAD":
            assert answer.error["code"] == "method_not_allowed"


async def test_head_is_answered_as_get(gateway: Gateway, first: Upstream) -> None:
    """C2."""
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("HEAD", "/v1/models")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("path", "messages", "code", "says"),
    [
        (CHAT, [], "empty_array", "is empty"),
        (CHAT, [USER, {"role": "alien", "content": "hi"}], "invalid_value", "one of: system, developer, user,"),
        (CHAT, [{"content": "hi"}], "invalid_value", "needs a `role`"),
        (f"{CHAT}?x=1", [{"role": 1}], "invalid_value", "needs a `role`"),
        ("/v1/messages", [], None, "is empty"),
        ("/v1/messages", [{"role": "alien", "content": "hi"}], None, "one of: user, assistant."),
        ("/v1/messages?beta=true", [{"role": "system", "content": "hi"}], None, "one of: user, assistant."),
    ],
)
async def test_messages_that_no_engine_can_answer_are_400(
    gateway: Gateway, first: Upstream, library: Path | None, path: str, messages: Any, code: str | None, says: str
) -> None:
    """C4: llama.cpp answers them without an end."""
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("POST", path, json={"messages": messages, "model": "chat"})
    if library is None:
        assert answer.status == 200, "only the native filter can see it"
        return
    assert answer.status == 400
    assert not first.seen
    if code:
        assert (answer.error["code"], answer.error["type"], answer.error["param"]) == (
            code,
            "invalid_request_error",
            "messages",
        )
        assert says in answer.error["message"]
    else:
        assert (answer.tree["type"], answer.tree["error"]["type"]) == ("error", "invalid_request_error")
        assert says in answer.tree["error"]["message"]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
async def test_each_role_of_openai_reaches_the_replica(gateway: Gateway, first: Upstream, role: str) -> None:
    """C4."""
    await gateway.publish(model("chat", first.endpoint()))
    body = {"model": "chat", "messages": [{"role": role, "content": "hi"}, USER]}
    assert (await gateway.ask("POST", CHAT, json=body)).status == 200


async def test_an_external_api_checks_its_roles_itself(gateway: Gateway) -> None:
    """C4."""
    external = replace(model("chat"), external=ExternalTarget(url="http://127.0.0.1:9/v1"))
    await gateway.publish(external)
    answer = await gateway.ask("POST", CHAT, json={"model": "chat", "messages": [{"role": "alien"}]})
    assert (answer.status, answer.error["code"]) == (503, "no_ready_replica")


async def test_an_unknown_model_is_named_before_its_messages(gateway: Gateway, first: Upstream) -> None:
    """C4."""
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("POST", CHAT, json={"model": "nope", "messages": []})
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


IMAGE = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
LONG = "input (4002 tokens) is too large to process. increase the physical batch size (current batch size: 1024)"


def failing(status: int, message: str, **more: Any) -> Any:
    """Return a handler that answers as llama.cpp does."""

    async def answer(_: web.Request) -> web.StreamResponse:
        error = {"code": status, "message": message, "type": "server_error"}
        return web.json_response({"error": error, **more}, status=status)

    return answer


@pytest.mark.parametrize(
    ("path", "status", "message", "becomes", "error"),
    [
        (CHAT, 500, IMAGE, 400, "unsupported_by_model"),
        ("/v1/embeddings", 500, LONG, 400, "context_length_exceeded"),
        (CHAT, 500, "out of memory", 500, None),
        (CHAT, 404, IMAGE, 404, None),
        ("/v1/messages", 500, IMAGE, 400, "invalid_request_error"),
        ("/v1/messages", 500, "'messages' is required", 400, "invalid_request_error"),
        ("/v1/messages", 400, "x" * 20_000, 400, "invalid_request_error"),
        ("/v1/messages/count_tokens", 500, "out of memory", 500, "api_error"),
        ("/v1/messages", 503, "Loading model", 503, "overloaded_error"),
    ],
)
async def test_an_error_of_the_engine_is_one_of_the_api(
    gateway: Gateway,
    first: Upstream,
    library: Path | None,
    path: str,
    status: int,
    message: str,
    becomes: int,
    error: str | None,
) -> None:
    """C3, C7: clients repeat a request after 500, and Anthropic's clients do not know OpenAI's shape."""
    first.answer = failing(status, message)
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("POST", path, json={"model": "chat", "messages": [USER]})
    if library is None or error is None:
        assert (answer.status, answer.tree["error"]["message"]) == (status, message), "only the native filter does it"
        return
    assert answer.status == becomes
    assert int(answer.headers["content-length"]) == len(answer.body)
    if path.startswith("/v1/messages"):
        assert (answer.tree["type"], answer.tree["error"]["type"]) == ("error", error)
    else:
        assert answer.error["code"] == error
    assert (await gateway.ask("GET", "/healthz")).status == 200


async def test_answers_and_streams_that_are_no_errors_are_not_changed(gateway: Gateway, first: Upstream) -> None:
    """C3."""
    stream = Stream()
    await gateway.publish(model("chat", first.endpoint()))
    for path in ("/v1/messages", CHAT):
        answer = await gateway.ask("POST", path, json={"model": "chat", "messages": [USER]})
        assert answer.tree == {"upstream": "model.chat.0"}
    first.answer = failing(500, IMAGE, type="error")
    assert (await gateway.ask("POST", "/v1/messages", json={"model": "chat"})).tree["type"] == "error"
    first.answer = stream.answer
    async with gateway.session.post("/v1/messages", json={"model": "chat", "stream": True}) as response:
        stream.send(b"one")
        assert b"one" in await response.content.readany()
        stream.end()
        assert response.status == 200


async def test_a_header_with_an_underscore_is_dropped(gateway: Gateway, first: Upstream) -> None:
    """C9: it could pass for another header at the replica."""
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.chat(headers={"x_request_source": "proxy", "x_api_key": "1"})
    assert answer.status == 200
    assert not [name for name in first.seen[-1].headers if "_" in name]


async def test_the_names_of_engine_and_proxy_do_not_reach_clients(gateway: Gateway, first: Upstream) -> None:
    """C12."""
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.chat()
    assert answer.status == 200
    assert not [name for name in answer.headers if name.lower() == "server" or name.lower().startswith("x-envoy")]


@pytest.mark.parametrize("path", ["/v1/nope", "/v1/audio/transcriptions", "/v1/chat/completions/x", "/v1/slots"])
async def test_a_path_that_llama_cpp_does_not_have_is_404(gateway: Gateway, first: Upstream, path: str) -> None:
    """C12: the engine answered "File Not Found"."""
    await gateway.publish(replace(model("chat", first.endpoint(), aliases=("gpt",)), engine="llama.cpp"))
    for name in ("chat", "gpt"):
        answer = await gateway.ask("POST", path, json={"model": name})
        assert (answer.status, answer.error["code"]) == (404, "unknown_path")
    assert not first.seen


@pytest.mark.parametrize("path", [*MODEL_PATHS, TOKENIZE])
async def test_each_path_of_llama_cpp_reaches_it(gateway: Gateway, first: Upstream, path: str) -> None:
    """C12."""
    await gateway.publish(replace(model("chat", first.endpoint()), engine="llama.cpp"))
    assert (await gateway.ask("POST", f"{path}?x=1", json={"model": "chat"})).status == 200
    assert first.seen[0].path == f"{path}?x=1"


async def test_engines_whose_paths_are_not_known_have_all_below_v1(gateway: Gateway, first: Upstream) -> None:
    """C12: vLLM and external APIs have more than Bateau knows."""
    await gateway.publish(model("chat", first.endpoint()))
    assert (await gateway.ask("POST", "/v1/score", json={"model": "chat"})).status == 200
    answer = await gateway.ask("POST", TOKENIZE, json={"model": "chat"})
    assert (answer.status, answer.error["code"]) == (404, "unknown_path")
