"""What clients get where no replica answers: OpenAI's error shape, the right status, and what to do about it."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from bateau.domain.model_file import ModelTask
from traffic.gateway import Gateway, model
from traffic.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"


async def test_an_unknown_model_is_404_and_names_those_there_are(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()), model("embed"))
    answer = await gateway.chat("gpt-5")
    assert answer.status == 404
    assert answer.error["code"] == "model_not_found"
    assert '"chat", "embed"' in answer.error["message"]
    assert not first.seen


@pytest.mark.parametrize(
    ("task", "path", "says"),
    [
        ("rerank", "/v1/embeddings", "ranks documents: send requests to /v1/rerank."),
        ("embed", "/v1/chat/completions", "creates embeddings: send requests to /v1/embeddings."),
        ("generate", "/v1/rerank", "generates text: send requests to /v1/chat/completions."),
    ],
)
async def test_a_task_that_a_model_does_not_have_is_400_and_names_the_one_it_has(
    gateway: Gateway, first: Upstream, task: ModelTask, path: str, says: str
) -> None:
    """A5: llama.cpp answers with zeros, or with a flag that nobody can set."""
    await gateway.publish(replace(model("m", first.endpoint()), task=task), model("other", first.endpoint()))
    body = b'{"model": "m"}'
    answer = await gateway.ask("POST", path, data=body, headers={"content-type": "application/json"})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "unsupported_by_model", "model")
    assert answer.error["message"] == f'The model "m" {says}'
    assert not first.seen
    body = b'{"model": "other"}'
    answer = await gateway.ask("POST", path, data=body, headers={"content-type": "application/json"})
    assert answer.status == 200


async def test_without_any_model_the_404_says_so(gateway: Gateway) -> None:
    await gateway.publish()
    answer = await gateway.chat("chat")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert "No model is served here." in answer.error["message"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"data": b'{"model": "chat"', "headers": {"content-type": "application/json"}}, id="cut short"),
        pytest.param({"data": b"model: chat", "headers": {"content-type": "application/json"}}, id="no JSON"),
        pytest.param({"data": b'{"model": "chat"}', "headers": {"content-type": "text/plain"}}, id="text/plain"),
        pytest.param(
            {"data": b"model=chat", "headers": {"content-type": "application/x-www-form-urlencoded"}}, id="a form"
        ),
    ],
)
async def test_what_is_no_json_is_400(gateway: Gateway, first: Upstream, body: dict[str, Any]) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("POST", CHAT, **body)
    assert (answer.status, answer.error["code"]) == (400, "invalid_json")
    assert not first.seen


@pytest.mark.parametrize("body", [b'{"messages": []}', b'{"model": null}', b"[]", b""])
async def test_json_without_a_model_is_400_and_says_which_there_are(
    gateway: Gateway, first: Upstream, body: bytes
) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.ask("POST", CHAT, data=body, headers={"content-type": "application/json"})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "missing_model", "model")
    assert '"chat"' in answer.error["message"]
    assert not first.seen


async def test_without_a_ready_replica_it_is_503_and_says_when_to_try_again(gateway: Gateway) -> None:
    await gateway.publish(model("chat"))
    answer = await gateway.chat()
    assert (answer.status, answer.error["code"]) == (503, "no_ready_replica")
    assert answer.headers["retry-after"] == "2"
    assert "'chat'" in answer.error["message"]


async def test_a_replica_that_is_dead_is_503_too(gateway: Gateway, first: Upstream) -> None:
    await first.close()
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.chat()
    assert (answer.status, answer.error["code"]) == (503, "no_ready_replica")


async def test_a_body_of_20_mb_passes_whole(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    body = json.dumps({"image": "x" * 20_000_000, "model": "chat"}).encode()
    answer = await gateway.ask("POST", CHAT, data=io.BytesIO(body), headers={"content-type": "application/json"})
    assert answer.status == 200
    assert first.seen[-1].body == body


async def test_a_body_above_32_mib_is_413(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    body = json.dumps({"image": "x" * (33 * 2**20), "model": "chat"}).encode()
    answer = await gateway.ask("POST", CHAT, data=io.BytesIO(body), headers={"content-type": "application/json"})
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert "32 MiB" in answer.error["message"]
    assert not first.seen


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1"])
@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/metrics"])
async def test_a_foreign_host_is_403(gateway: Gateway, host: str, path: str) -> None:
    answer = await gateway.ask("GET", path, headers={"host": host})
    assert (answer.status, answer.error["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1:9", "[::1]:80", "LOCALHOST"])
async def test_this_machines_names_are_served(gateway: Gateway, host: str) -> None:
    assert (await gateway.ask("GET", "/healthz", headers={"host": host})).status == 200


@pytest.mark.parametrize("path", ["/nope", "/api/chat", "/v2/models", "/v1"])
async def test_an_unknown_path_is_404_and_says_what_is_there(gateway: Gateway, path: str) -> None:
    answer = await gateway.ask("GET", path)
    assert (answer.status, answer.error["code"]) == (404, "unknown_path")
    assert "/v1/" in answer.error["message"]


@pytest.mark.parametrize("path", ["/v1%2Fmodels", "/v1/%2e%2e/metrics/../healthz%2f"])
async def test_escaped_slashes_are_refused(gateway: Gateway, path: str) -> None:
    from yarl import URL

    async with gateway.session.get(URL(gateway.url + path, encoded=True)) as response:
        assert response.status == 400


async def test_metrics_without_a_control_plane_say_that_models_are_served_all_the_same(gateway: Gateway) -> None:
    answer = await gateway.ask("GET", "/metrics")
    assert (answer.status, answer.error["code"]) == (503, "control_plane_down")
    assert answer.headers["retry-after"] == "2"


async def test_a_replicas_own_errors_pass_as_they_are(gateway: Gateway, first: Upstream) -> None:
    from aiohttp import web

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "context is full"}}, status=400)

    first.answer = refuse
    await gateway.publish(model("chat", first.endpoint()))
    answer = await gateway.chat()
    assert (answer.status, answer.tree) == (400, {"error": {"message": "context is full"}})


async def test_the_root_names_the_apis_for_everybody(gateway: Gateway) -> None:
    """Ollama's clients ask for it before anything else, some of them without a key."""
    answer = await gateway.ask("GET", "/")
    assert (answer.status, "/api/" in answer.tree["says"]) == (200, True)
    assert (await gateway.ask("HEAD", "/")).status == 200
