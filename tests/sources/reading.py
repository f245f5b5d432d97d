"""Helpers of tests: read the content of a fetched model, and wait for a condition."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from bateau.domain.model_file import ModelFile, Progress


def ignore(_: Progress) -> None:
    """Progress that nobody follows."""


def content(file: ModelFile) -> bytes:
    """Return the content of the file."""
    return Path(file.path).read_bytes()


def free(size_bytes: int) -> Callable[[Path], int]:
    """Return a disk with this much free space."""
    return lambda _path: size_bytes


async def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, 20 seconds at most."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the condition depends on other processes
            await asyncio.sleep(0.01)


def cut(path: Path, size_bytes: int) -> None:
    """Give a file another size, as a full disk or a broken copy does."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(size_bytes)
