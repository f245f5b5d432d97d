"""A server that gets too many requests, and says when to retry."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from aiohttp import web

from bateau.domain.errors import SourceUnreachable
from bateau.sources.models import Models
from sources import test_hugging_face, test_pypi, test_registries
from sources.gguf_bytes import gguf
from sources.origin import MIB, Answer, Origin
from sources.reading import content, ignore

Make = Callable[..., Models]
BIG = gguf(floats=MIB)


def busy_at_first(origin: Origin, path: str, **headers: str) -> None:
    """Let the first request for `path` be one too many."""
    whole = origin.paths[path]
    times: list[float] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            return web.Response(status=429, headers=headers)
        assert times[-1] - times[0] >= 1.0
        return await (origin.send(request, whole) if isinstance(whole, bytes) else whole(request))

    origin.paths[path] = answer


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("pypi:tiny-model", "/simple/tiny-model/"),
        ("hf://org/repo", "/api/models/org/repo"),
        ("hf://org/repo/m.gguf", "/org/repo/resolve/main/m.gguf"),
        ("ollama://HOST/library/tiny:1b", "/v2/library/tiny/manifests/1b"),
        ("oci://HOST/tiny:v1", "/v2/tiny/manifests/v1"),
        ("http://HOST/m.gguf", "/m.gguf"),
    ],
)
async def test_every_source_waits_as_long_as_the_server_asks(
    origin: Origin, models: Make, reference: str, path: str
) -> None:
    """A22: `models pull` ended at the first 429."""
    origin.paths["/m.gguf"] = BIG
    index = test_pypi.publish(origin, {"tiny_model-1-py3-none-any.whl": test_pypi.wheel(m__gguf=BIG)})
    test_hugging_face.publish(origin, "m.gguf")
    test_registries.publish(origin, "library/tiny", "1b", test_registries.layer(test_registries.OLLAMA))
    test_registries.publish(origin, "tiny", "v1", test_registries.layer("application/octet-stream", "m.gguf"))
    busy_at_first(origin, path, **{"Retry-After": "1"})
    source = models(environ={"PIP_INDEX_URL": index, "HF_ENDPOINT": origin.url("")})
    assert content(await source.fetch(reference.replace("HOST", origin.host), ignore)) == BIG


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit": '"api";r=0;t=1'},
        {"Date": "Sat, 28 Nov 2026 10:00:00 GMT", "Retry-After": "Sat, 28 Nov 2026 10:00:01 GMT"},
    ],
)
async def test_other_ways_to_say_when(origin: Origin, models: Make, headers: dict[str, str]) -> None:
    origin.paths["/m.gguf"] = BIG
    busy_at_first(origin, "/m.gguf", **headers)
    assert content(await models().fetch(origin.url("/m.gguf"), ignore)) == BIG


async def test_a_server_that_asks_for_too_much_patience_ends_the_fetch(
    origin: Origin, models: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="bateau")

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "3600"})

    always: Answer = answer
    origin.paths["/v2/tiny/manifests/v1"] = always
    with pytest.raises(SourceUnreachable, match="HTTP 429") as caught:
        await models().fetch(f"oci://{origin.host}/tiny:v1", ignore)
    assert caught.value.hint == "the server asks to retry in 3600 s"
    assert caught.value.retry_after_s == 3600.0
    assert len(origin.asked) == 1
    assert "retrying in" not in caplog.text
