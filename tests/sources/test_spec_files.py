"""Which files below a directory are read, and which are skipped: by rule, by `.bateauignore`, or with a warning."""

import asyncio
import os
from pathlib import Path

import pytest

from bateau.domain.errors import ControlError
from bateau.sources.spec_files import SpecFiles

FILES = (
    "shop.yaml", "a/cart.yml", "a/values.json", "a/.hidden.yaml", ".github/ci.yaml", "a/node_modules/x/y.yaml",
    "venv/lib/z.yaml", "testdata/one.yaml", "testdata/deep/two.yaml", "testdata/kept.yaml", "gen/x.tmpl.yaml",
)  # fmt: skip


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a: 1\n")
    return tmp_path


ALL = [
    "a/cart.yml",
    "gen/x.tmpl.yaml",
    "shop.yaml",
    "testdata/deep/two.yaml",
    "testdata/kept.yaml",
    "testdata/one.yaml",
]


def read(top: Path) -> tuple[list[str], int]:
    files = SpecFiles(top, default={})
    return list(files.read()), files.count_ignored()


def test_hidden_directories_and_dependencies_are_not_searched(top: Path) -> None:
    assert read(top) == (ALL, 0)


@pytest.mark.parametrize(
    ("patterns", "kept", "ignored"),
    [
        ("testdata/\n", ["a/cart.yml", "gen/x.tmpl.yaml", "shop.yaml"], 3),
        ("*.tmpl.yaml\n/testdata/*\n!/testdata/kept.yaml\n", ["a/cart.yml", "shop.yaml", "testdata/kept.yaml"], 3),
        ("*\n!*/\n!shop.yaml\n", ["shop.yaml"], 5),
        ("# nothing\n\n", ALL, 0),
    ],
)  # fmt: skip
def test_an_ignore_file_excludes_files_and_says_how_many(
    top: Path, patterns: str, kept: list[str], ignored: int
) -> None:
    """F18."""
    (top / ".bateauignore").write_text(patterns)
    assert read(top) == (kept, ignored)


def test_a_link_is_followed_unless_its_file_is_read_anyway(top: Path) -> None:
    for name, target in {
        "b.yaml": "a/cart.yml",
        "c.yaml": ".github/ci.yaml",
        "d.yaml": "c.yaml",
        "e.yaml": "a",
        "f.yaml": "f.yaml",
    }.items():
        (top / name).symlink_to(target)
    (top / ".bateauignore").write_text("/testdata\n/gen\n")
    files = SpecFiles(top, default={})
    assert list(files.read()) == ["a/cart.yml", "c.yaml", "d.yaml", "shop.yaml"]
    assert dict(files.unread) == {
        "e.yaml": "is a link, but not to a regular file",
        "f.yaml": "is a link to a file that does not exist",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named_with_the_fix(top: Path) -> None:
    (top / "shop.yaml").chmod(0)
    with pytest.raises(ControlError, match=r"cannot read .*shop\.yaml: Permission denied") as caught:
        SpecFiles(top, default={}).read()
    assert caught.value.hint == "make it readable, or exclude it in .bateauignore"


async def test_an_edit_of_the_ignore_file_is_noticed(top: Path) -> None:
    """F18."""
    changes = aiter(SpecFiles(top, default={}).changes())
    waiting = asyncio.ensure_future(anext(changes))
    async with asyncio.timeout(20):
        while not waiting.done():
            (top / ".bateauignore").write_text("testdata/\n")
            await asyncio.sleep(0.1)
    await waiting
