"""A small file system for tests of a full disk. Mounting it needs root."""

import ctypes
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_DETACH = 2  # MNT_DETACH of umount2(2)


@contextmanager
def small_disk(at: Path, *, mib: int, more: str = "") -> Generator[Path]:
    """Mount a tmpfs for the length of the block; the test is skipped where that is not permitted."""
    at.mkdir(parents=True, exist_ok=True)
    if _LIBC.mount(b"tmpfs", os.fsencode(at), b"tmpfs", 0, f"size={mib}m,mode=700{more}".encode()):
        pytest.skip(f"a tmpfs cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield at
    finally:
        _LIBC.umount2(os.fsencode(at), _DETACH)


def fill(disk: Path) -> Path:
    """Write a file until not one byte more fits, and return it: removing it makes room again."""
    path = disk / "filler"
    with path.open("ab", buffering=0) as file:
        size = 2**20
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
    return path
