"""Faults of other servers, accidental or not: redirects, changes during a download, expiry, and secrets in URLs."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from bateau.domain.errors import SourceError, SourceUnreachable
from bateau.domain.model_file import Progress
from bateau.sources.download import Patience
from bateau.sources.http import in_thread
from bateau.sources.models import Models
from sources.gguf_bytes import LLAMA, gguf
from sources.origin import MIB, Answer, Origin
from sources.reading import content, ignore, until

Make = Callable[..., Models]
BIG = gguf(floats=MIB)
# Of the same size, and different from an early byte on, so that a mix of the two equals neither.
OTHER = gguf({**LLAMA, "general.name": "Tinx"}, floats=MIB).replace(bytes(range(256)), bytes(reversed(range(256))))
DIGEST = hashlib.sha256(BIG).hexdigest()


def redirect(location: str, *, status: int = 302) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    return answer


def changing(origin: Origin) -> Answer:
    """Serve BIG once, and OTHER from then on."""
    contents = [BIG]

    async def answer(request: web.Request) -> web.StreamResponse:
        return await origin.send(request, contents.pop() if contents else OTHER)

    return answer


def written(folder: Path) -> bytes:
    """Return the content of all notes of a cache."""
    return b"".join(path.read_bytes() for path in folder.rglob("*.json"))


async def test_without_etag_and_checksum_a_cut_starts_again(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = changing(origin)
    origin.cuts, origin.etags = [2 * MIB], False
    assert content(await models().fetch(origin.url("/m.gguf"), ignore)) == OTHER
    assert ["Range" in asked.headers for asked in origin.gets("/m.gguf")] == [False, False]


async def test_a_server_that_ignores_if_range_does_not_join_two_versions(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = changing(origin)
    origin.cuts, origin.if_range = [2 * MIB], False
    assert content(await models().fetch(origin.url("/m.gguf"), ignore)) == OTHER


async def test_two_versions_that_were_joined_do_not_pass_the_checksum(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = changing(origin)
    origin.cuts, origin.etags = [2 * MIB], False
    sha256 = hashlib.sha256(OTHER).hexdigest()
    file = await models().fetch(origin.url(f"/m.gguf#sha256={sha256}"), ignore)
    assert (content(file), file.sha256) == (OTHER, sha256)


async def test_more_bytes_than_promised_are_not_taken(origin: Origin, models: Make) -> None:
    """A registry that promises a size, and a server that sends without a length."""
    size = len(BIG) - MIB
    layers = [{"mediaType": "x.gguf", "digest": f"sha256:{DIGEST}", "size": size}]
    origin.paths["/v2/tiny/manifests/v1"] = lambda _: _json({"layers": layers})
    origin.paths[f"/v2/tiny/blobs/sha256:{DIGEST}"] = BIG
    origin.lengths = False
    with pytest.raises(SourceError, match=f"the server sends more than the promised {size} bytes"):
        await models().fetch(f"oci://{origin.host}/tiny:v1", ignore)


async def _json(tree: object) -> web.Response:
    return web.json_response(tree)


async def test_a_signed_url_is_asked_for_as_it_was_written(origin: Origin, models: Make) -> None:
    signed = "/cdn/x%2Fy?Policy=a%3Ab%2Fc%7E&Signature=q~w%2B__&x=%41"
    origin.paths["/cdn/x/y"] = BIG
    origin.paths["/m.gguf"] = redirect(signed)
    await models().fetch(origin.url("/m.gguf?x=%41%3A"), ignore)
    assert [asked.target for asked in origin.asked] == ["/m.gguf?x=%41%3A", signed]


async def test_a_url_that_is_not_quoted_is_quoted(origin: Origin, models: Make) -> None:
    origin.paths["/a model ü.gguf"] = BIG
    assert await models().fetch(origin.url("/a model ü.gguf"), ignore)
    assert origin.asked[0].target == "/a%20model%20%C3%BC.gguf"


async def test_endless_redirects_end_at_once(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = redirect("/m.gguf", status=307)
    with pytest.raises(SourceError, match="redirects more than 10 times"):
        await models(patience=Patience()).fetch(origin.url("/m.gguf"), ignore)
    assert len(origin.asked) == 11


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("http://models.invalid/m.gguf?token=hush", "http://models.invalid/m.gguf is plain http"),
        ("ftp://models.invalid/m.gguf?token=hush", "which is not an http URL"),
        ("http://[::1/m.gguf?token=hush", "is not a URL"),
        ("http://127.0.0.1:99999/m.gguf?token=hush", "is not a URL"),
    ],
)
async def test_a_redirect_that_must_not_be_followed_is_not(
    origin: Origin, models: Make, location: str, says: str
) -> None:
    origin.paths["/m.gguf"] = redirect(location)
    with pytest.raises(SourceError) as caught:
        await models(patience=Patience()).fetch(origin.url("/m.gguf"), ignore)
    assert says in caught.value.message
    assert "hush" not in caught.value.message
    assert len(origin.asked) == 1


async def test_credentials_that_a_redirect_brings_are_used(origin: Origin, models: Make) -> None:
    origin.paths["/a"] = redirect(f"http://user:hush@{origin.host}/m.gguf")
    origin.paths["/m.gguf"] = BIG
    await models().fetch(origin.url("/a"), ignore)
    assert [asked.headers.get("Authorization") for asked in origin.asked] == [None, "Basic dXNlcjpodXNo"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/m.gguf", "https://models.invalid/m.gguf"])
async def test_where_nobody_is_one_more_try_is_enough(models: Make, url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="bateau")
    with pytest.raises(SourceUnreachable):
        await models(patience=Patience()).fetch(url, ignore)
    assert caplog.text.count("retrying in") == 1


async def test_secrets_of_a_reference_show_nowhere(
    origin: Origin, models: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="bateau")
    origin.paths["/m.gguf"] = BIG
    origin.statuses = [503, 403]
    reference = f"http://me:hunter2@{origin.host}/m.gguf?token=hunter3"
    with pytest.raises(SourceError) as caught:
        await models().fetch(reference, ignore)
    file = await models().fetch(reference, ignore)
    with pytest.raises(SourceUnreachable) as unreachable:
        await models().fetch("http://me:hunter2@127.0.0.1:1/m.gguf?token=hunter3", ignore)
    told = (caught.value.message, caught.value.hint, unreachable.value.message, unreachable.value.hint)
    assert "hunter" not in f"{told} {caplog.text} {file} {models().list()}"
    assert b"hunter" not in written(tmp_path)


@pytest.mark.parametrize("reference", ["hf://me:hunter2@host/a", "pypi:https://me:hunter2@host/a?b=hunter3"])
async def test_secrets_of_a_reference_that_is_not_understood_show_nowhere(models: Make, reference: str) -> None:
    with pytest.raises(SourceError) as caught:
        await models().fetch(reference, ignore)
    assert "hunter" not in caught.value.message


async def test_what_is_being_fetched_is_not_removed(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.pause_after = 2 * MIB
    reference = origin.url("/m.gguf")
    seen: list[Progress] = []
    task = asyncio.create_task(models().fetch(reference, seen.append))
    await until(lambda: any(progress.bytes_done >= MIB for progress in seen))
    with pytest.raises(SourceError, match="is being fetched now"):
        models().remove(reference)
    origin.go.set()
    assert content(await task) == BIG
    assert models().remove(reference).freed_bytes == len(BIG)


async def test_a_thread_is_told_to_stop_when_nobody_waits_for_it_any_more() -> None:
    loop = asyncio.get_running_loop()
    started, stopped = asyncio.Event(), asyncio.Event()
    ended: list[bool] = []

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(stopped.wait(), loop).result()
        ended.append(True)

    task = asyncio.create_task(in_thread(work, stop=stopped.set))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
