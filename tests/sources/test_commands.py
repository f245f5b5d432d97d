"""`bateau models`, on caches in temporary directories."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bateau.cli.group import bateau
from bateau.sources.models import Models
from sources import test_patience
from sources.gguf_bytes import gguf
from sources.origin import Origin
from sources.reading import cut, ignore


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Models]:
    """The cache that the commands use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return lambda: Models(cache=tmp_path / "xdg/bateau/models", base=tmp_path, environ={})


async def test_list_names_a_damaged_model(origin: Origin, cached: Callable[[], Models]) -> None:
    """A4: a cut copy was listed as if it were whole."""
    origin.paths["/m.gguf"] = gguf()
    path = Path((await cached().fetch(origin.url("/m.gguf"), ignore)).path)
    whole = CliRunner().invoke(bateau, ["models", "list"]).output
    assert "damaged" not in whole
    cut(path, 100)
    line = next(
        line for line in CliRunner().invoke(bateau, ["models", "list"]).output.splitlines() if "/m.gguf" in line
    )
    assert line.endswith("damaged: pull it again")
    tree = json.loads(CliRunner().invoke(bateau, ["models", "list", "--json"]).output)
    assert [model["damaged"] for model in tree["cached"]] == [True]


async def test_pull_says_why_it_waits(origin: Origin, cached: Callable[[], Models]) -> None:
    """A22: a server that answers 429 says when to come back."""
    assert cached().list() == []
    origin.paths["/m.gguf"] = gguf()
    test_patience.busy_at_first(origin, "/m.gguf", **{"Retry-After": "1"})
    done = await asyncio.to_thread(CliRunner().invoke, bateau, ["models", "pull", origin.url("/m.gguf")])
    assert done.exit_code == 0
    assert f"{origin.url('/m.gguf')}: the server cannot answer now (HTTP 429); retrying in 1.0 s" in done.stderr
    assert done.stdout.startswith(origin.url("/m.gguf"))


async def test_a_pull_leaves_the_file_and_nothing_beside_it(
    origin: Origin, cached: Callable[[], Models], tmp_path: Path
) -> None:
    """Also the second one: a rename onto a link of the same file leaves both names."""
    origin.paths["/m.gguf"] = gguf()
    assert cached().list() == []
    output = tmp_path / "out/model.gguf"
    output.parent.mkdir()
    for _ in range(2):
        words = ["models", "pull", origin.url("/m.gguf"), "--output", str(output)]
        done = await asyncio.to_thread(CliRunner().invoke, bateau, words)
        assert done.exit_code == 0, done.output
        assert [each.name for each in output.parent.iterdir()] == ["model.gguf"]
    assert output.read_bytes() == gguf()
