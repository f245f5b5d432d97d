"""Changes of files below a directory, as the kernel reports them."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bateau.kit.inotify import Inotify

PATIENCE_S = 20


def left_out(name: str) -> bool:
    return name == "left-out"


def changes_of(watch: Inotify) -> AsyncIterator[set[str]]:
    return watch.changes(settle_s=0.01, settle_s_max=0.05, look_s=PATIENCE_S)


def write(path: Path) -> None:
    path.write_text("text")


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_text("text")
    other.replace(path)


def close_to_others(path: Path) -> None:
    path.chmod(0o600)


def move(path: Path) -> None:
    path.rename(path.with_name("other"))


@pytest.mark.parametrize("change", [write, replace, Path.unlink, close_to_others, move])
@pytest.mark.parametrize("folder", ["", "below/", "later/"])
async def test_whatever_happens_to_a_file_is_reported(
    tmp_path: Path, folder: str, change: Callable[[Path], None]
) -> None:
    (tmp_path / "below").mkdir()
    path = tmp_path / f"{folder}file"
    if folder != "later/":
        path.write_text("before")
    with Inotify(tmp_path, is_left_out=left_out) as watch:
        changes = changes_of(watch)
        if folder == "later/":
            path.parent.mkdir()
            path.write_text("before")
            assert f"{path.parent}/" in await anext(changes)
        change(path)
        async with asyncio.timeout(PATIENCE_S):
            assert str(path) in await anext(changes)


async def test_a_directory_that_moves_is_reported_and_followed(tmp_path: Path) -> None:
    (tmp_path / "one/two").mkdir(parents=True)
    with Inotify(tmp_path, is_left_out=left_out) as watch:
        changes = changes_of(watch)
        (tmp_path / "one").rename(tmp_path / "three")
        assert {f"{tmp_path}/one/", f"{tmp_path}/three/"} <= await anext(changes)
        (tmp_path / "three/two/file").write_text("text")
        assert await anext(changes) == {f"{tmp_path}/three/two/file"}


async def test_nothing_is_reported_of_what_is_left_out_and_of_what_does_not_change(tmp_path: Path) -> None:
    (tmp_path / "left-out").mkdir()
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "file").write_text("text")
    with Inotify(tmp_path, is_left_out=left_out) as watch:
        (tmp_path / "left-out/file").write_text("text")
        (tmp_path / "file").read_text()
        assert await anext(watch.changes(settle_s=0.01, settle_s_max=0.05, look_s=0.2)) == set()


async def test_a_kernel_without_more_watches_says_which_limit_to_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing"  # the kernel refuses to watch it, for another reason

    def walk(top: str) -> list[tuple[str, list[str], list[str]]]:
        return [(top, [], [])]

    monkeypatch.setattr(os, "walk", walk)
    monkeypatch.setattr("bateau.kit.inotify.ctypes.get_errno", lambda: errno.ENOSPC)
    with pytest.raises(OSError, match=r"fs\.inotify\.max_user_watches"):
        Inotify(missing, is_left_out=left_out)
