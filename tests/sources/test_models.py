"""References, the cache, and the user's own files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bateau.domain.errors import NotAModel, SourceError, SourceNotFound
from bateau.sources.catalogue import catalogue
from bateau.sources.download import Patience
from bateau.sources.models import Models
from sources.gguf_bytes import LLAMA, gguf
from sources.origin import Origin
from sources.reading import ignore

Make = Callable[..., Models]


async def test_a_file_is_used_in_place(models: Make, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "m.gguf").write_bytes(gguf())
    (tmp_path / "home/h.gguf").write_bytes(gguf())
    for reference in ("./m.gguf", "m.gguf", str(tmp_path / "m.gguf"), "~/h.gguf"):
        found = models().find(reference)
        assert found is not None
        assert Path(found.path).parent in {tmp_path, tmp_path / "home"}
        assert found == await models().fetch(reference, ignore)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(SourceError, match="is your own file"):
        models().remove("./m.gguf")
    assert (tmp_path / "m.gguf").exists()


def test_a_file_that_changed_is_read_again(models: Make, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf())
    first = models().find("./m.gguf")
    path.write_bytes(gguf({**LLAMA, "general.name": "Another"}))
    second = models().find("./m.gguf")
    assert first and second
    assert (first.header.name, second.header.name) == ("Tiny", "Another")


def test_a_file_that_another_took_the_place_of_is_read_again(models: Make, tmp_path: Path) -> None:
    """As `mv` and `cp -p` do it: of the same size, and the same time of change."""
    path, other = tmp_path / "m.gguf", tmp_path / "other"
    source = models()
    names: list[str | None] = []
    for name in ("Tiny", "Tall"):
        other.write_bytes(gguf({**LLAMA, "general.name": name}))
        os.utime(other, ns=(0, 0))
        other.replace(path)
        found = source.find("./m.gguf")
        assert found is not None
        names.append(found.header.name)
    assert names == ["Tiny", "Tall"]


def test_a_file_is_called_by_its_name_whatever_is_in_it(models: Make, tmp_path: Path) -> None:
    (tmp_path / "a#1?.gguf").write_bytes(b"no")
    with pytest.raises(NotAModel, match=r"^\./a#1\?\.gguf is not a GGUF"):
        models().find("./a#1?.gguf")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (gguf({**LLAMA, "general.type": "adapter"}), r"is an adapter \(LoRA\), not a model"),
        (gguf({**LLAMA, "general.type": "mmproj"}), "is a projector for images or sound, not a model"),
        (gguf({**LLAMA, "general.type": "imatrix"}), "is an importance matrix, not a model"),
        (gguf(tensors=0), "contains no tensors"),
    ],
)
async def test_what_is_gguf_but_no_model_is_said_so(
    origin: Origin, models: Make, tmp_path: Path, data: bytes, says: str
) -> None:
    (tmp_path / "m.gguf").write_bytes(data)
    with pytest.raises(NotAModel, match=says):
        models().find("./m.gguf")
    origin.paths["/m.gguf"] = data
    with pytest.raises(NotAModel, match=says):
        await models().fetch(origin.url("/m.gguf"), ignore)
    assert models().list() == []


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ({}, "generate"),
        ({"llama.pooling_type": 0}, "generate"),
        ({"llama.pooling_type": 1}, "embed"),
        ({"llama.pooling_type": 3}, "embed"),
        ({"llama.attention.causal": False}, "embed"),
        ({"llama.pooling_type": 4}, "rerank"),
    ],
)
def test_the_header_decides_what_a_model_does(models: Make, tmp_path: Path, values: dict[str, Any], task: str) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf({**LLAMA, **values}))
    found = models().find("./m.gguf")
    assert found
    assert found.header.task == task


def test_files_that_are_no_model_or_not_there(models: Make, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf()[:-1])
    with pytest.raises(NotAModel, match=r"m\.gguf is truncated"):
        models().find("./m.gguf")
    with pytest.raises(SourceNotFound, match="does not exist"):
        models().find("./other.gguf")
    with pytest.raises(SourceError, match="cannot be read"):
        models().find(str(tmp_path))


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("smolm2", "did you mean `smollm2`?"),
        ("huggingface", "known: smollm2"),
        ("hff://a/b", "did you mean `hf://`?"),
        ("Qwen/Qwen3", "hf://Qwen/Qwen3"),
        ("hf.co/acme/demo:Q4_K_M", "write hf://acme/demo:Q4_K_M"),
        ("https://huggingface.co/acme/demo", "write hf://acme/demo"),
        ("https://huggingface.co/acme/demo/", "write hf://acme/demo"),
        ("https://huggingface.co/acme/demo/blob/main/m-q4.gguf", "write hf://acme/demo/m-q4.gguf"),
        ("https://huggingface.co/acme/demo/tree/v1.2", "write hf://acme/demo@v1.2"),
        ("https://huggingface.co/acme/demo?show_file_info=m-q4.gguf", "write hf://acme/demo/m-q4.gguf"),
    ],
)
async def test_a_reference_that_names_nothing_says_what_would(models: Make, reference: str, hint: str) -> None:
    with pytest.raises(SourceNotFound) as found:
        models().find(reference)
    assert hint in str(found.value.hint)
    with pytest.raises(SourceNotFound):
        await models().fetch(reference, ignore)


def test_a_url_that_is_none_names_nothing(models: Make) -> None:
    with pytest.raises(SourceNotFound, match="is not a valid URL"):
        models().find("https://user:hush@[::1/m.gguf")


async def test_removing_frees_what_nothing_else_needs(origin: Origin, models: Make) -> None:
    data = gguf()
    one, two = origin.url("/one.gguf"), origin.url("/two.gguf")
    origin.paths["/one.gguf"] = origin.paths["/two.gguf"] = data
    source = models()
    for reference in (one, two):
        await source.fetch(reference, ignore)
    [cached] = source.list()
    assert (cached.references, cached.size_bytes) == ((one, two), len(data))
    assert source.remove(one).freed_bytes == 0
    assert source.find(one) is None
    assert source.find(two) is not None
    removed = source.remove(cached.sha256[:12])
    assert (removed.references, removed.freed_bytes) == ((two,), len(data))
    assert source.list() == []
    with pytest.raises(SourceNotFound, match="not in the cache"):
        source.remove(two)
    with pytest.raises(SourceNotFound, match="no model in the cache"):
        source.remove("sha256:abcdef")


async def test_a_part_that_has_arrived_can_be_removed(origin: Origin, models: Make, tmp_path: Path) -> None:
    origin.paths["/m.gguf"] = gguf()
    origin.cuts = [100]
    with pytest.raises(SourceError):
        await models(patience=Patience(tries=1)).fetch(origin.url("/m.gguf"), ignore)
    assert models().remove(origin.url("/m.gguf")).freed_bytes == 100
    assert list((tmp_path / "cache/partial").iterdir()) == []


async def test_secrets_in_a_url_are_not_shown_but_still_tell_references_apart(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = gguf()
    secret = f"http://user:hush@{origin.host}/m.gguf?token=hush"
    source = models()
    await source.fetch(secret, ignore)
    assert source.find(secret) is not None
    assert source.find(origin.url("/m.gguf")) is None
    [cached] = source.list()
    assert cached.references == (origin.url("/m.gguf"),)
    assert source.remove(origin.url("/m.gguf")).freed_bytes == cached.size_bytes
    assert source.find(secret) is None
    with pytest.raises(SourceNotFound) as caught:
        source.remove(secret)
    assert "hush" not in caught.value.message


async def test_offline_says_what_is_here(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = gguf()
    await models().fetch(origin.url("/m.gguf"), ignore)
    offline = models(environ={"BATEAU_OFFLINE": "1"})
    assert await offline.fetch(origin.url("/m.gguf"), ignore)
    with pytest.raises(SourceError, match="BATEAU_OFFLINE is set") as caught:
        await offline.fetch("smollm2", ignore)
    assert caught.value.hint == f"on this machine: {origin.url('/m.gguf')}"


def test_every_name_of_the_catalogue_has_a_source_that_is_understood(models: Make) -> None:
    entries = catalogue()
    assert entries[0].name == "smollm2"
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert models().find(entry.name) is None
        assert models().find(entry.source) is None
