"""Models from a hub, with the requests that huggingface_hub makes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from bateau.domain.errors import ChecksumMismatch, SourceDenied, SourceError, SourceNotFound, SourceUnreachable
from bateau.sources.models import Models
from sources.gguf_bytes import gguf
from sources.origin import MIB, Origin
from sources.reading import content, ignore

Make = Callable[..., Models]
BIG = gguf(floats=MIB)
TOKEN = "hf_hush"  # noqa: S105 - of the test's own server
COMMIT = "0" * 40


def publish(
    origin: Origin, *names: str, private: bool = False, gated: bool = False, data: bytes = BIG, storage: str = ""
) -> None:
    """Serve the repository `org/repo` the way the hub does: metadata on HEAD, a redirect to storage on GET."""
    storage = storage or origin.url("/storage/blob?signature=hush").replace("127.0.0.1", "localhost")

    def refused(request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {TOKEN}" or not (private or gated):
            return None
        if gated:
            return web.Response(status=403, headers={"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        return web.Response(status=401, headers={"X-Error-Code": "RepoNotFound"})

    async def info(request: web.Request) -> web.Response:
        body = {"id": "org/repo", "siblings": [{"rfilename": name} for name in ("README.md", *names)]}
        return refused(request) or web.Response(text=json.dumps(body), content_type="application/json")

    async def file(request: web.Request) -> web.Response:
        headers = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(len(BIG)),
            "X-Linked-Etag": f'"{hashlib.sha256(BIG).hexdigest()}"',
            "Location": storage,
        }
        return refused(request) or web.Response(status=302, headers=headers)

    origin.paths["/api/models/org/repo"] = info
    origin.paths["/storage/blob"] = data
    for name in names:
        origin.paths[f"/org/repo/resolve/main/{name}"] = file
        origin.paths[f"/org/repo/resolve/v1/{name}"] = file


async def fetch(models: Make, origin: Origin, reference: str, **environ: str) -> bytes:
    file = await models(environ={"HF_ENDPOINT": origin.url(""), **environ}).fetch(reference, ignore)
    assert file.sha256 == hashlib.sha256(BIG).hexdigest()
    return content(file)


async def test_a_file_is_fetched_from_where_the_hub_redirects(origin: Origin, models: Make) -> None:
    publish(origin, "sub/m.gguf")
    assert await fetch(models, origin, "hf://org/repo/sub/m.gguf") == BIG
    assert await fetch(models, origin, "hf://org/repo/sub/m.gguf@v1") == BIG
    assert [asked.method for asked in origin.asked if "/resolve/v1/" in asked.path] == ["HEAD"]


@pytest.mark.parametrize(
    ("names", "reference", "chosen"),
    [
        (["a.gguf"], "hf://org/repo", "a.gguf"),
        (["m-q4_k_m.gguf", "m-q8_0.gguf", "mmproj-f16.gguf"], "hf://org/repo", "m-q4_k_m.gguf"),
        (["m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-Q4_K.gguf"], "hf://org/repo:Q4_K", "m-Q4_K.gguf"),
        (["m-BF16.gguf", "m-F16.gguf"], "hf://org/repo:f16", "m-F16.gguf"),
    ],
)
async def test_a_file_is_chosen_where_none_is_named(
    origin: Origin, models: Make, names: list[str], reference: str, chosen: str
) -> None:
    publish(origin, *names)
    assert await fetch(models, origin, reference) == BIG
    assert {asked.path.rpartition("/")[2] for asked in origin.asked if "/resolve/" in asked.path} == {chosen}


async def test_what_cannot_be_chosen_is_listed(origin: Origin, models: Make) -> None:
    publish(origin, "m-q5_0.gguf", "m-q8_0.gguf")
    with pytest.raises(SourceError, match=r"does not say which one: m-q5_0\.gguf, m-q8_0\.gguf"):
        await fetch(models, origin, "hf://org/repo")
    with pytest.raises(SourceNotFound, match="no file of q8_1") as caught:
        await fetch(models, origin, "hf://org/repo:q8_1")
    assert caught.value.hint == "did you mean `q8_0`?"
    publish(origin)
    with pytest.raises(SourceNotFound, match=r"has no \*.gguf"):
        await fetch(models, origin, "hf://org/repo")


async def test_split_models_are_said_not_to_be_supported(origin: Origin, models: Make) -> None:
    publish(origin, "m-q4_k_m-00001-of-00002.gguf", "m-q4_k_m-00002-of-00002.gguf")
    for reference in ("hf://org/repo", "hf://org/repo:q4_k_m", "hf://org/repo/m-q4_k_m-00001-of-00002.gguf"):
        with pytest.raises(SourceError, match="split over several files"):
            await fetch(models, origin, reference)


async def test_a_gated_model_says_which_variable_opens_it(origin: Origin, models: Make, tmp_path: Path) -> None:
    publish(origin, "m.gguf", gated=True)
    with pytest.raises(SourceDenied, match="gated") as caught:
        await fetch(models, origin, "hf://org/repo/m.gguf")
    assert "HF_TOKEN" in str(caught.value.hint)
    assert await fetch(models, origin, "hf://org/repo/m.gguf", HF_TOKEN=TOKEN) == BIG
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text(f"{TOKEN}\n")
    assert await fetch(models, origin, "hf://org/repo", HF_HOME=str(tmp_path / "hf")) == BIG


async def test_what_does_not_exist(origin: Origin, models: Make) -> None:
    publish(origin, "m.gguf", private=True)
    with pytest.raises(SourceNotFound, match="does not exist, or is private"):
        await fetch(models, origin, "hf://org/repo/m.gguf")
    with pytest.raises(SourceNotFound):
        await fetch(models, origin, "hf://org/other/m.gguf", HF_TOKEN=TOKEN)
    with pytest.raises(SourceNotFound, match="is not a valid Hugging Face reference"):
        await fetch(models, origin, "hf://org")
    with pytest.raises(SourceNotFound, match=r"does not name a \*.gguf"):
        await fetch(models, origin, "hf://org/repo/README.md")


async def test_storage_that_sends_other_content_is_caught(origin: Origin, models: Make) -> None:
    publish(origin, "m.gguf", data=BIG[:-1] + b"!")
    with pytest.raises(ChecksumMismatch):
        await fetch(models, origin, "hf://org/repo/m.gguf")


async def test_offline_and_unreachable_hubs_are_told_apart(origin: Origin, models: Make) -> None:
    publish(origin, "m.gguf")
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE is set") as caught:
        await fetch(models, origin, "hf://org/repo/m.gguf", HF_HUB_OFFLINE="1")
    assert caught.value.hint == "no model is on this machine yet"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "https://hub.invalid"])
@pytest.mark.parametrize("reference", ["hf://org/repo/m.gguf", "hf://org/repo"])
async def test_a_hub_that_nobody_can_reach_is_unreachable(models: Make, endpoint: str, reference: str) -> None:
    with pytest.raises(SourceUnreachable, match="cannot be reached"):
        await models(environ={"HF_ENDPOINT": endpoint}).fetch(reference, ignore)


@pytest.mark.parametrize("body", ["<html>", "[]", '{"siblings": [{}]}'])
async def test_a_hub_whose_answer_is_none_is_said_so(origin: Origin, models: Make, body: str) -> None:
    async def info(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    origin.paths["/api/models/org/repo"] = info
    with pytest.raises(SourceError, match="the hub sent an invalid answer"):
        await fetch(models, origin, "hf://org/repo")
