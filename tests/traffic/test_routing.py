"""Requests go by the model that the body names, however it is written, and carry nothing that is not the replica's."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web
from yarl import URL

from bateau.testing.source import model_file
from traffic.gateway import Gateway, model
from traffic.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
DECOY = {"role": "user", "content": '{"model": "other"}', "model": "other"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"messages": [{"role": "user"}], "stream": false, "model": "chat"}', id="model last"),
        pytest.param(json.dumps({"messages": [DECOY], "model": "chat"}).encode(), id="decoy inside messages"),
        pytest.param(rb'{"mod\u0065l": "ch\u0061t"}', id="escapes in key and value"),
        pytest.param(b' \n{"model" :\t"chat"}\n', id="white space"),
        pytest.param(b'{"model": "other", "model": "chat"}', id="duplicate key, last wins"),
    ],
)
async def test_the_bodys_model_decides(gateway: Gateway, first: Upstream, second: Upstream, body: bytes) -> None:
    await gateway.publish(model("chat", first.endpoint()), model("other", second.endpoint()))
    answer = await gateway.ask("POST", CHAT, data=body, headers=JSON)
    assert answer.tree == {"upstream": "model.chat.0"}
    assert first.seen[0].body == body


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json", "application/json"],
)
async def test_any_json_content_type_is_read(gateway: Gateway, first: Upstream, content_type: str) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("POST", CHAT, data=b'{"model": "chat"}', headers={"content-type": content_type})
    assert answer.status == 200


async def test_a_chunked_body_is_read_over_its_chunks(gateway: Gateway, first: Upstream) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b'{"messages": [{"role": "user"}], "mo', b'del": "ch', b'at"}'):
            yield part

    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("POST", CHAT, data=parts(), headers=JSON)
    assert answer.status == 200
    assert first.seen[0].model == "chat"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses"])
async def test_every_path_below_v1_goes_to_the_model_as_it_is(gateway: Gateway, first: Upstream, path: str) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    assert (await gateway.ask("POST", path, json={"model": "chat"})).status == 200
    assert first.seen[0].path == path


async def test_models_are_listed_in_openais_form(gateway: Gateway) -> None:
    await gateway.publish(model("small", created=1_700_000_000), model("chat"))
    listed = (await gateway.ask("GET", "/v1/models")).tree
    assert listed == {
        "object": "list",
        "data": [
            {"id": "chat", "object": "model", "created": 0, "owned_by": "bateau"},
            {"id": "small", "object": "model", "created": 1_700_000_000, "owned_by": "bateau"},
        ],
    }
    assert (await gateway.ask("GET", "/v1/models/small")).tree == listed["data"][1]
    for path in ("/v1/models", "/v1/models/small"):  # A22: uptime checks send HEAD
        head = await gateway.ask("HEAD", path)
        assert (head.status, head.headers["content-type"], head.body) == (200, "application/json", b"")
    absent = await gateway.ask("GET", "/v1/models/large")
    assert (absent.status, absent.error["code"]) == (404, "model_not_found")


async def test_a_model_is_listed_with_its_file(gateway: Gateway) -> None:
    file = model_file("chat", size_bytes=1000)
    header = replace(file.header, parameters=134_515_008, quantization="Q8_0")
    whole = replace(file, sha256="ab" * 32, header=header)
    await gateway.publish(model("known", file=whole), model("unknown", file=file), model("external"))
    found = {each["id"]: each.get("meta") for each in (await gateway.ask("GET", "/v1/models")).tree["data"]}
    about = {"size": 1000, "format": "gguf", "architecture": "llama", "n_ctx_train": 2048}
    more = {"sha256": "ab" * 32, "n_params": 134_515_008, "ftype": "Q8_0"}
    assert found == {"known": {**about, **more}, "unknown": about, "external": None}


async def test_healthz_answers_without_models_and_without_a_control_plane(gateway: Gateway) -> None:
    await gateway.publish()
    answer = await gateway.ask("GET", "/healthz")
    assert (answer.status, answer.tree) == (200, {"status": "ok"})


async def test_a_callers_key_and_forged_headers_never_reach_a_replica(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()), model("secret"))
    forged = {
        "authorization": "Bearer sk-caller",
        "x-api-key": "sk-caller",
        "x-bateau-model": "secret",
        "accept-encoding": "gzip",
        "x-mine": "kept",
    }
    assert (await gateway.chat(headers=forged)).status == 200
    arrived = first.seen[0].headers
    assert arrived["x-mine"] == "kept"
    assert not {"authorization", "x-api-key", "accept-encoding"} & {name.lower() for name in arrived}
    assert not [name for name in arrived if name.lower().startswith("x-bateau")]


async def test_a_forged_model_header_does_not_route(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("POST", CHAT, json={"messages": []}, headers={"x-bateau-model": "chat"})
    assert (answer.status, answer.error["code"]) == (400, "missing_model")
    assert (await gateway.ask("GET", "/v1/props", headers={"x-bateau-model": "chat"})).status != 200
    assert not first.seen


async def test_a_replicas_cors_headers_are_removed(gateway: Gateway, first: Upstream) -> None:
    async def any_origin(_: web.Request) -> web.StreamResponse:
        cors = {"access-control-allow-origin": "*", "access-control-allow-credentials": "true", "x-kept": "1"}
        return web.json_response({}, headers=cors)

    first.answer = any_origin
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.chat(headers={"origin": "https://evil.example"})
    assert answer.headers["x-kept"] == "1"
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_a_browsers_question_across_origins_gets_no_permission(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = await gateway.ask("OPTIONS", CHAT, headers=asked)
    assert answer.status >= 400
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert not first.seen


async def test_every_answer_has_a_request_id_and_the_replica_sees_the_same(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.chat()
    assert answer.headers["x-request-id"] == first.seen[0].headers["x-request-id"]


async def test_a_model_answers_to_its_other_names_and_gets_its_own(gateway: Gateway, first: Upstream) -> None:
    names = ("gpt-4o-mini", "Qwen/Qwen2.5-0.5B-Instruct", "llama3.2:1b")
    await gateway.publish(model("chat", first.endpoint(), aliases=names), model("gpt-4o-mini", first.endpoint()))
    for name in names[1:]:
        answer = await gateway.chat(name)
        assert (answer.status, first.seen[-1].model) == (200, "chat")
    # A model of that name takes precedence.
    assert (await gateway.chat("gpt-4o-mini")).status == 200
    assert first.seen[-1].model == "gpt-4o-mini"
    listed = (await gateway.ask("GET", "/v1/models")).tree["data"]
    assert [each["id"] for each in listed] == sorted((*names, "chat"))
    for path in ("Qwen/Qwen2.5-0.5B-Instruct", "llama3.2:1b", "llama3.2%3A1b"):
        answer = await gateway.ask("GET", URL(f"/v1/models/{path}", encoded=True))
        assert (answer.status, answer.tree.get("object")) == (200, "model"), path
    assert '"llama3.2:1b"' in (await gateway.chat("nope")).error["message"]


async def test_an_alias_is_refused_for_other_tasks_by_that_name(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("e", first.endpoint(), aliases=("text-embedding-3-small",), task="embed"))
    answer = await gateway.chat("text-embedding-3-small")
    assert (answer.status, answer.error["code"]) == (400, "unsupported_by_model")
    assert '"text-embedding-3-small"' in answer.error["message"]
