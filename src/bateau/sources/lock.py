"""Let one process at a time fetch a file.

Called by sources.cache, sources.download and sources.git.follow.

Invariant: the kernel releases the lock when its holder dies, and only the holder removes the file. Held by
tests/sources/test_lock.py and tests/sources/test_download.py.
Refused: a file with a process id in it; the kernel reuses ids, and kill -9 leaves the file behind.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

# Waiting for flock needs a thread, which cannot be cancelled, so the lock is polled.
_ASK_AGAIN_S = 0.1


@asynccontextmanager
async def held(path: Path, *, while_waiting: Callable[[], None]) -> AsyncGenerator[None]:
    """Hold the lock at `path`. Call `while_waiting` regularly until the lock is acquired. Raises OSError."""
    while (descriptor := _try(path)) is None:
        while_waiting()
        await asyncio.sleep(_ASK_AGAIN_S)
    try:
        yield
    finally:
        _release(path, descriptor)


@contextmanager
def tried(path: Path) -> Generator[bool]:
    """Hold the lock at `path` if no other process does. Yield whether it is held. Raises OSError."""
    descriptor = _try(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            _release(path, descriptor)


def _release(path: Path, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a fast call, and nothing may come between it and the close
    os.close(descriptor)


def _try(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The previous holder removes the file, and a lock on a removed file excludes no other process.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
