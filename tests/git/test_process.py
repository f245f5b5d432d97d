"""Runs of git that end early: whatever git has started ends with them."""

import asyncio
import gc
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from bateau.domain.errors import SourceUnreachable
from bateau.sources.git.process import Git
from git.workshop import Workshop

URL = "ssh://git@acme.example/acme.git"


@pytest.fixture
def git(workshop: Workshop, environ: Mapping[str, str], tmp_path: Path) -> Git:
    """A git whose remote never answers: git fetches with an ssh that hangs, and marks that it was started."""
    hangs = tmp_path / "ssh"
    hangs.write_text(f"#!/bin/sh\ntouch {tmp_path}/connected\nsleep 600\n")
    hangs.chmod(0o755)
    return Git(directory=workshop.directory, environ={**environ, "GIT_SSH_COMMAND": str(hangs)}, url=URL)


def left(home: Path) -> list[int]:
    """Return the processes that have this home directory, and the children of this process that were not waited for."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1] if entry.name.isdecimal() else "0"
            ours = int(parent) == os.getpid() and b"git" in (entry / "comm").read_bytes()
            if ours or (parent != "0" and f"HOME={home}\0".encode() in (entry / "environ").read_bytes()):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended, or is another user's
    return found


async def fetch(git: Git, timeout_s: float = 60.0) -> None:
    await git.run("fetch", URL, "main", doing="fetch acme", timeout_s=timeout_s)


@pytest.mark.parametrize("again", [None, 0, 1, 2])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 8, "connected"])
async def test_a_cancelled_run_leaves_no_process(git: Git, tmp_path: Path, after: int | str, again: int | None):
    running = asyncio.create_task(fetch(git))
    for _ in range(after if isinstance(after, int) else 0):
        await asyncio.sleep(0)
    while after == "connected" and not await asyncio.to_thread((tmp_path / "connected").exists):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    running.cancel()
    for _ in range(again or 0):
        await asyncio.sleep(0)
    if again is not None:
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 20)
    assert left(tmp_path) == []
    gc.collect()  # a pipe that was left open is a warning, which is an error in tests


@pytest.mark.parametrize("passes", [0, 1, 2, 3, 4, 8])
def test_a_loop_that_ends_leaves_no_process(git: Git, tmp_path: Path, passes: int):
    running: set[asyncio.Task[None]] = set()

    async def leave() -> None:
        running.add(asyncio.create_task(fetch(git)))
        for _ in range(passes):
            await asyncio.sleep(0)

    asyncio.run(leave())
    assert [each.cancelled() for each in running] == [True]
    assert left(tmp_path) == []
    gc.collect()


async def test_a_run_that_takes_too_long_is_an_error_and_leaves_no_process(git: Git, tmp_path: Path):
    with pytest.raises(SourceUnreachable, match="cannot fetch acme: no answer within 1 s"):
        await fetch(git, timeout_s=1)
    assert left(tmp_path) == []
