"""Ollama's API: chat, generate, embeddings, and what it says about models.

Called by traffic.translator. Source: Ollama's API reference.

Models are written in specs, so requests that would change them are refused with a message that says so.
"""

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
from aiohttp import web

from bateau import __version__
from bateau.kit.json_value import Json, JsonObject, array_at, text_at
from bateau.traffic.translator.embedding import embedded
from bateau.traffic.translator.gateway import Gateway, Refused, json_body, text_field
from bateau.traffic.translator.ollama_models import details, information, is_loaded, listed, modified, running
from bateau.traffic.translator.ollama_words import (
    Reply,
    chat_request,
    completion_request,
    generate_request,
    is_nothing,
)

_NDJSON: Final = "application/x-ndjson"
_FIXED: Final = (
    "models of this endpoint are written in specs, so it takes no request that changes them: edit the spec, or ask the "
    "person who runs it"
)
_STAYS: Final = (
    "{} stays loaded: its spec says when it is unloaded (`scale.idleAfter`), for all who use this endpoint. Ask for "
    "an answer with this keep_alive, and it has no effect"
)


def add_to(router: web.UrlDispatcher, gateway: Gateway) -> None:
    """Add the routes of this API."""
    api = _Ollama(gateway)
    router.add_post("/api/chat", api.chat)
    router.add_post("/api/generate", api.generate)
    router.add_post("/api/embed", api.embed)
    router.add_post("/api/embeddings", api.embeddings)
    router.add_get("/api/tags", api.tags)
    router.add_get("/api/ps", api.ps)
    router.add_post("/api/show", api.show)
    router.add_get("/api/version", api.version)
    router.add_post("/api/pull", api.pull)
    for method, path in (("DELETE", "/api/delete"), ("POST", "/api/copy"), ("POST", "/api/create")):
        router.add_route(method, path, api.fixed)
    router.add_post("/api/push", api.fixed)
    router.add_route("*", "/api/blobs/{digest}", api.fixed)


class _Ollama:
    """The handlers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        model = await self._model(request, body)
        reply = Reply(shown=text_field(body, "model"), chat=True)
        if not array_at(body, "messages"):
            return await self._load(request, model, body, reply)
        return await self._answer(request, body, reply, "/v1/chat/completions", chat_request(model, body))

    async def generate(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        model = await self._model(request, body)
        reply = Reply(shown=text_field(body, "model"), chat=False)
        if body.get("suffix"):
            raise Refused("suffix is not supported: no engine of this endpoint fills in the middle")
        if not body.get("prompt") and not body.get("images"):
            return await self._load(request, model, body, reply)
        if body.get("raw"):
            return await self._answer(request, body, reply, "/v1/completions", completion_request(model, body))
        return await self._answer(request, body, reply, "/v1/chat/completions", generate_request(model, body))

    async def embed(self, request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        body = await json_body(request)
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given if isinstance(given, list) else None
        if texts is None or not all(isinstance(text, str) for text in texts):
            raise Refused("input is required, as text or a list of texts")
        found: list[Json] = []
        counted = 0
        if texts:
            answer = await self._embedded(request, body, [str(text) for text in texts])
            found = _vectors(answer)
            counted = _count(answer.get("usage"), "prompt_tokens")
        return web.json_response(
            {
                "model": text_field(body, "model"),
                "embeddings": found,
                "total_duration": int((time.monotonic() - started) * 1e9),
                "prompt_eval_count": counted,
            }
        )

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        vectors = _vectors(await self._embedded(request, body, [text_field(body, "prompt")]))
        return web.json_response({"embedding": vectors[0] if vectors else []})

    async def tags(self, request: web.Request) -> web.StreamResponse:
        models = array_at(await self._gateway.get(request, "/v1/models"), "data")
        return web.json_response({"models": [listed(each) for each in models]})

    async def ps(self, request: web.Request) -> web.StreamResponse:
        models = array_at(await self._gateway.get(request, "/v1/models"), "data")
        now = time.time()
        return web.json_response({"models": [running(each, now) for each in models if is_loaded(each)]})

    async def show(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        entry = await self._gateway.model(request, text_field(body, "model", "name"))
        does = {"embed": ["embedding"], "rerank": ["embedding"]}.get(text_at(entry, "task"), ["completion", "tools"])
        return web.json_response(
            {
                "modelfile": "",
                "parameters": "",
                "template": "",
                "details": details(entry),
                "model_info": information(entry),
                "capabilities": does,
                **modified(entry),
            }
        )

    async def version(self, request: web.Request) -> web.StreamResponse:
        await self._gateway.get(request, "/v1/models")  # whoever may not ask a model learns nothing
        return web.json_response({"version": __version__})

    async def pull(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        name = text_field(body, "model", "name")
        try:
            await self._gateway.model(request, name)
        except Refused as refused:
            if refused.status != 404:  # noqa: PLR2004
                raise
            raise Refused(f"{name} is not served here; {_FIXED}", status=404) from None
        if body.get("stream") is False:
            return web.json_response({"status": "success"})
        return await _stream(request, _one({"status": "success"}))

    async def fixed(self, _: web.Request) -> web.StreamResponse:
        raise Refused(_FIXED, status=501)

    async def _model(self, request: web.Request, body: JsonObject) -> str:
        return await self._gateway.name_of(request, text_field(body, "model"))

    async def _embedded(self, request: web.Request, body: JsonObject, texts: list[str]) -> JsonObject:
        asked: dict[str, Any] = {"model": await self._model(request, body)}
        if "dimensions" in body:
            asked["dimensions"] = body["dimensions"]
        return await embedded(self._gateway, request, asked, texts, cut=body.get("truncate") is not False)

    async def _load(self, request: web.Request, model: str, body: JsonObject, reply: Reply) -> web.StreamResponse:
        """Answer a request without a prompt, by which clients load or unload a model ahead of time."""
        entry = await self._gateway.model(request, model)
        unload = is_nothing(body.get("keep_alive"))
        if unload and is_loaded(entry):
            raise Refused(_STAYS.format(text_field(body, "model")), status=501)
        if not unload and not is_loaded(entry):
            # The model wakes up for any request; this one uses no tokens.
            await self._gateway.post(request, "/tokenize", {"model": model, "content": ""})
        answer = reply.without_prompt("unload" if unload else "load")
        if body.get("stream") is False:
            return web.json_response(answer)
        return await _stream(request, _one(answer))

    async def _answer(
        self, request: web.Request, body: JsonObject, reply: Reply, path: str, asked: dict[str, Any]
    ) -> web.StreamResponse:
        if body.get("stream") is False:
            return web.json_response(reply.whole(await self._gateway.post(request, path, asked)))
        asked |= {"stream": True, "stream_options": {"include_usage": True}}

        async def lines() -> AsyncIterator[JsonObject]:
            async for event in self._gateway.events(request, path, asked):
                for line in reply.pieces(event):
                    yield line
            yield reply.last()

        return await _stream(request, lines())


async def _one(line: JsonObject) -> AsyncIterator[JsonObject]:
    yield line


async def _stream(request: web.Request, lines: AsyncIterator[JsonObject]) -> web.StreamResponse:
    """Answer one JSON object in each line. The status is that of the first one; a later error is a line of its own."""
    try:
        first = await anext(lines)
    except StopAsyncIteration:
        raise Refused("the model gave no answer", status=502) from None
    response = web.StreamResponse(headers={"content-type": _NDJSON})
    await response.prepare(request)
    await response.write(orjson.dumps(first) + b"\n")
    try:
        async for line in lines:
            await response.write(orjson.dumps(line) + b"\n")
    except Refused as refused:
        await response.write(orjson.dumps({"error": refused.says}) + b"\n")
    await response.write_eof()
    return response


def _vectors(answer: JsonObject) -> list[Json]:
    return [each.get("embedding") for each in array_at(answer, "data") if isinstance(each, dict)]


def _count(usage: Json, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else 0
