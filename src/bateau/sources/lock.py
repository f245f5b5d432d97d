"""Let one process at a time fetch a file.

Called by sources.cache, sources.download and sources.git.follow.

Invariant: the kernel releases the lock when its holder dies, and the file is removed only by who holds it. Held by
tests/sources/test_download.py.
Refused: a file with a process id in it; ids are used again, and kill -9 leaves them behind.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

# flock can only be awaited in a thread that cannot be cancelled, so it is asked for again and again.
_ASK_AGAIN_S = 0.1


@asynccontextmanager
async def held(path: Path, *, while_waiting: Callable[[], None]) -> AsyncGenerator[None]:
    """Hold the lock at `path`; call `while_waiting` every now and then until it is ours. Raises OSError."""
    while (descriptor := _try(path)) is None:
        while_waiting()
        await asyncio.sleep(_ASK_AGAIN_S)
    try:
        yield
    finally:
        _release(path, descriptor)


@contextmanager
def tried(path: Path) -> Generator[bool]:
    """Hold the lock at `path` if nobody else does, and say whether it is held. Raises OSError."""
    descriptor = _try(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            _release(path, descriptor)


def _release(path: Path, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - quick, and must not be interrupted between here and the close
    os.close(descriptor)


def _try(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The holder before us removes the file: a lock on a removed file keeps nobody out.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
