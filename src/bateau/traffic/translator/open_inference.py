"""The Open Inference Protocol, version 2, over REST: health, metadata, and inference for text and embeddings.

Called by traffic.translator. Source: Open Inference Protocol (kserve/open-inference-protocol), "HTTP/REST", and its
extension "binary_tensor_data".

A model that generates text takes one tensor of texts and answers one of the same shape; a model that creates embeddings
answers one of shape [texts, dimensions]. A model that ranks takes pairs of texts in two tensors, `query` and
`document`, and answers a score for each. Parameters of the request are those of OpenAI's API, such as `max_tokens`.
"""

import asyncio
import itertools
import math
import struct
from array import array
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web

from bateau import __version__
from bateau.kit.json_value import Json, JsonObject, ReadObject, array_at, object_at, text_at
from bateau.traffic.translator.gateway import Gateway, Refused, json_body, parsed

_T = TypeVar("_T")
_VERSION: Final = "1"
_HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_TEXTS_MAX: Final = 256
_QUERY: Final = "query"
_DOCUMENT: Final = "document"
_OUTPUTS: Final[Mapping[str, ReadObject]] = {
    "embed": {"name": "embedding", "datatype": "FP32", "shape": [-1, -1]},
    "rerank": {"name": "score", "datatype": "FP32", "shape": [-1]},
    "generate": {"name": "text_output", "datatype": "BYTES", "shape": [-1]},
}
# At the same time for one request: the others are those of other clients.
_TOGETHER: Final = 4
_BINARY: Final = ("binary_data", "binary_data_size", "binary_data_output")


def add_to(router: web.UrlDispatcher, gateway: Gateway) -> None:
    """Add the routes of this API."""
    api = _OpenInference(gateway)
    router.add_get("/v2", api.server)
    router.add_get("/v2/", api.server)
    router.add_get("/v2/health/live", api.live)
    router.add_get("/v2/health/ready", api.ready)
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        router.add_get(base, api.metadata)
        router.add_get(f"{base}/ready", api.model_ready)
        router.add_post(f"{base}/infer", api.infer)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor: its values in order, one text or number each."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[Any]


class _OpenInference:
    """The handlers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def server(self, request: web.Request) -> web.StreamResponse:
        await self._gateway.get(request, "/v1/models")  # whoever may not ask a model learns nothing
        return web.json_response({"name": "bateau", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def live(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"live": True})

    async def ready(self, request: web.Request) -> web.StreamResponse:
        await self._gateway.get(request, "/v1/models")
        return web.json_response({"ready": True})

    async def model_ready(self, request: web.Request) -> web.StreamResponse:
        entry = await self._model(request)
        return web.json_response({"name": text_at(entry, "id"), "ready": True})

    async def metadata(self, request: web.Request) -> web.StreamResponse:
        entry = await self._model(request)
        task = text_at(entry, "task")
        inputs = (_QUERY, _DOCUMENT) if task == "rerank" else ("text_input",)
        return web.json_response(
            {
                "name": text_at(entry, "id"),
                "versions": [_VERSION],
                "platform": "bateau",
                "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in inputs],
                "outputs": [_OUTPUTS.get(task, _OUTPUTS["generate"])],
            }
        )

    async def infer(self, request: web.Request) -> web.StreamResponse:
        entry = await self._model(request)
        asked, tensors = await _read(request)
        parameters = {k: v for k, v in object_at(asked, "parameters").items() if k not in _BINARY}
        match text_at(entry, "task"):
            case "embed":
                output = await self._embedded(request, entry, _texts(tensors))
            case "rerank":
                output = await self._ranked(request, entry, *_pairs(tensors))
            case _:
                output = await self._generated(request, entry, _texts(tensors), parameters)
        wanted = next((each for each in array_at(asked, "outputs") if text_at(each, "name") == output.name), None)
        if array_at(asked, "outputs") and wanted is None:
            raise Refused(f"this model has no other output than {output.name}")
        binary = object_at(wanted, "parameters").get("binary_data", object_at(asked, "parameters").get(_BINARY[2]))
        head: JsonObject = {"model_name": text_at(entry, "id"), "model_version": _VERSION}
        if identity := text_at(asked, "id"):
            head["id"] = identity
        return _written(head, output, binary=binary is True)

    async def _generated(
        self, request: web.Request, entry: JsonObject, texts: _Tensor, parameters: Mapping[str, Json]
    ) -> _Tensor:
        async def one(text: str) -> str:
            messages = [{"role": "user", "content": text}]
            body = {**parameters, "model": text_at(entry, "id"), "messages": messages, "stream": False}
            answer = await self._gateway.post(request, "/v1/chat/completions", body)
            return text_at(object_at(next(iter(array_at(answer, "choices")), None), "message"), "content")

        return _Tensor("text_output", "BYTES", texts.shape, await _some_at_once(one, texts.values))

    async def _embedded(self, request: web.Request, entry: JsonObject, texts: _Tensor) -> _Tensor:
        body = {"model": text_at(entry, "id"), "input": list(texts.values)}
        answer = await self._gateway.post(request, "/v1/embeddings", body)
        rows = [each.get("embedding") for each in array_at(answer, "data") if isinstance(each, dict)]
        values = [value for row in rows if isinstance(row, list) for value in row]
        return _Tensor("embedding", "FP32", (len(rows), len(values) // max(1, len(rows))), values)

    async def _ranked(
        self, request: web.Request, entry: JsonObject, queries: Sequence[str], documents: _Tensor
    ) -> _Tensor:
        places: dict[str, list[int]] = {}
        for place, query in enumerate(queries):
            places.setdefault(query, []).append(place)

        async def one(query: str) -> dict[int, Json]:
            own = places[query]
            texts = [documents.values[place] for place in own]
            body = {"model": text_at(entry, "id"), "query": query, "documents": texts}
            results = array_at(await self._gateway.post(request, "/v1/rerank", body), "results")
            found = {each.get("index"): each.get("relevance_score") for each in results if isinstance(each, dict)}
            return {place: found.get(number) for number, place in enumerate(own)}

        parts = await _some_at_once(one, places)
        scores = {place: score for part in parts for place, score in part.items()}
        if not all(isinstance(score, int | float) for score in scores.values()):
            raise Refused("the model did not score every pair", status=502)
        return _Tensor("score", "FP32", documents.shape, [scores[place] for place in range(len(queries))])

    async def _model(self, request: web.Request) -> JsonObject:
        version = request.match_info.get("version", _VERSION)
        if version != _VERSION:
            raise Refused(f"there is only version {_VERSION} of each model", status=404)
        return await self._gateway.model(request, request.match_info["model"])


async def _some_at_once(ask: Callable[[str], Awaitable[_T]], texts: Iterable[str]) -> list[_T]:
    """Return the answers for some texts. A few are asked for at a time. Raises Refused if one of them is refused."""
    turns = asyncio.Semaphore(_TOGETHER)

    async def one(text: str) -> _T:
        async with turns:
            return await ask(text)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(text)) for text in texts]
    except ExceptionGroup as errors:
        refused = next((error for error in errors.exceptions if isinstance(error, Refused)), None)
        if refused is None:
            raise
        raise refused from None
    return [task.result() for task in tasks]


async def _read(request: web.Request) -> tuple[JsonObject, list[_Tensor]]:
    """Return the JSON of a request and its tensors. Raises Refused."""
    written = request.headers.get(_HEADER_LENGTH)
    if written is None:
        asked, rest = await json_body(request), b""
    else:
        body = await request.read()
        length = int(written) if written.isdecimal() else -1
        if not 0 <= length <= len(body):
            raise Refused(f"{_HEADER_LENGTH} is not the length of the JSON in the body")
        found, rest = parsed(body[:length]), body[length:]
        if found is None:
            raise Refused("the JSON in the body could not be parsed, or is not an object")
        asked = found
    tensors: list[_Tensor] = []
    for index, each in enumerate(array_at(asked, "inputs")):
        if not isinstance(each, dict):
            raise Refused(f"inputs[{index}] is not an object")
        tensor, rest = _tensor(each, rest)
        tensors.append(tensor)
    if rest:
        raise Refused(f"the body has {len(rest)} bytes more than its tensors")
    return asked, tensors


def _tensor(each: JsonObject, rest: bytes) -> tuple[_Tensor, bytes]:
    """Return a tensor, and the binary data that follows it. Raises Refused."""
    name, datatype = text_at(each, "name"), text_at(each, "datatype")
    shape = each.get("shape")
    sizes = [size for size in shape if type(size) is int and size >= 0] if isinstance(shape, list) else []
    if not name or not isinstance(shape, list) or len(sizes) != len(shape):
        raise Refused("each input has a name, a datatype and a shape of whole numbers")
    size = object_at(each, "parameters").get("binary_data_size")
    if size is None:
        values = _flat(each.get("data"))
    elif type(size) is int and 0 <= size <= len(rest):
        values, rest = _strings(rest[:size], name), rest[size:]
    else:
        raise Refused(f"binary_data_size of {name} is larger than the rest of the body")
    if len(values) != math.prod(sizes):
        raise Refused(f"{name} has {len(values)} values, and its shape says {math.prod(sizes)}")
    return _Tensor(name, datatype, tuple(sizes), values), rest


def _texts(tensors: Sequence[_Tensor]) -> _Tensor:
    """Return the tensor of texts of a request. Raises Refused."""
    if len(tensors) != 1 or tensors[0].datatype != "BYTES":
        raise Refused("these models take one input, a tensor of texts: datatype BYTES")
    return _checked(tensors[0])


def _pairs(tensors: Sequence[_Tensor]) -> tuple[Sequence[str], _Tensor]:
    """Return the queries and the documents of a request, as many of each. Raises Refused."""
    named = {tensor.name: tensor for tensor in tensors if tensor.datatype == "BYTES"}
    if len(tensors) != len(named) or named.keys() != {_QUERY, _DOCUMENT}:
        raise Refused(f"this model takes two inputs, tensors of texts: {_QUERY} and {_DOCUMENT}, with datatype BYTES")
    queries, documents = _checked(named[_QUERY]), _checked(named[_DOCUMENT])
    if len(queries.values) not in (1, len(documents.values)):
        raise Refused(f"send one {_QUERY}, or one for each {_DOCUMENT}")
    return [*queries.values] * (len(documents.values) // len(queries.values)), documents


def _checked(found: _Tensor) -> _Tensor:
    """Return a tensor of texts. Raises Refused."""
    if not all(isinstance(value, str) for value in found.values):
        raise Refused(f"{found.name} has a value that is not a text")
    if not 0 < len(found.values) <= _TEXTS_MAX:
        raise Refused(f"{found.name} has {len(found.values)} texts; send 1 to {_TEXTS_MAX}")
    return found


def _flat(data: Json) -> list[Json]:
    if not isinstance(data, list):
        raise Refused("an input without binary data has its values in `data`, a list")
    return list(itertools.chain.from_iterable(_flat(each) if isinstance(each, list) else [each] for each in data))


def _strings(data: bytes, name: str) -> list[str]:
    """Return the texts of a binary tensor of BYTES: the length of each in four bytes, and then its UTF-8."""
    found: list[str] = []
    at = 0
    while at < len(data):
        end = at + 4
        length = struct.unpack_from("<I", data, at)[0] if end <= len(data) else len(data)
        if end + length > len(data):
            raise Refused(f"the binary data of {name} ends in the middle of a text")
        try:
            found.append(data[end : end + length].decode())
        except UnicodeDecodeError:
            raise Refused(f"a text in the binary data of {name} is not UTF-8") from None
        at = end + length
    return found


def _written(head: JsonObject, output: _Tensor, *, binary: bool) -> web.Response:
    tensor: JsonObject = {"name": output.name, "datatype": output.datatype, "shape": [*output.shape]}
    if not binary:
        body = orjson.dumps({**head, "outputs": [{**tensor, "data": [*output.values]}]})
        return web.Response(body=body, content_type="application/json")
    data = _binary(output)
    tensor["parameters"] = {"binary_data_size": len(data)}
    text = orjson.dumps({**head, "outputs": [tensor]})
    headers = {_HEADER_LENGTH: str(len(text)), "content-type": "application/octet-stream"}
    return web.Response(body=text + data, headers=headers)


def _binary(output: _Tensor) -> bytes:
    if output.datatype == "FP32":
        return struct.pack(f"<{len(output.values)}f", *array("f", output.values))
    encoded = [str(value).encode() for value in output.values]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)
