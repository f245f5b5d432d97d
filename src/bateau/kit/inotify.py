"""Follow the files below a directory by inotify, without polling.

Called by sources.spec_files.

Source: inotify(7). Linux only.

Invariant: a file that is written, created, moved or removed is reported, also one in a directory that has just been
created. Held by tests/kit/test_inotify.py::test_whatever_happens_to_a_file_is_reported.
Refused: the library watchfiles. A thread of it wakes up for each step of its wait, twenty times a second by default;
with a longer step, each change is reported later.
"""

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_OVERFLOW, _IGNORED, _IS_DIRECTORY = 0x4000, 0x8000, 0x4000_0000
_ONLY_DIRECTORIES: Final = 0x0100_0000
_MASK: Final = (
    _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
) | _ONLY_DIRECTORIES
_HEAD: Final = struct.Struct("iIII")
_BUFFER_BYTES: Final = 2**16
_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)


class Inotify:
    """Watches on all directories below `top` whose names `is_left_out` does not leave out. Raises OSError."""

    def __init__(self, top: Path, *, is_left_out: Callable[[str], bool]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._is_left_out = is_left_out
        self._paths: dict[int, str] = {}
        self._news = asyncio.Event()
        self._fd: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _error("inotify cannot be used")
        asyncio.get_running_loop().add_reader(self._fd, self._news.set)
        try:
            self._add_tree(str(top))
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all watches."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    async def changes(self, *, settle_s: float, settle_s_max: float, look_s: float) -> AsyncIterator[set[str]]:
        """Yield the paths that have changed, once nothing has for `settle_s`; an empty set after `look_s` without any.

        That of a directory ends with "/", and stands for everything in it.
        """
        loop = asyncio.get_running_loop()
        while True:
            found = set[str]()
            if await self._has_news(look_s):
                until = loop.time() + settle_s_max
                found.update(self._read())
                while loop.time() < until:
                    await asyncio.sleep(settle_s)
                    if not self._news.is_set():
                        break
                    found.update(self._read())
            yield found

    async def _has_news(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _read(self) -> Iterator[str]:
        """Yield the paths of all events until now, and watch the directories that are new."""
        self._news.clear()
        while data := self._bytes():
            at = 0
            while at < len(data):
                watch, mask, _, size = _HEAD.unpack_from(data, at)
                name = os.fsdecode(data[at + _HEAD.size : at + _HEAD.size + size].rstrip(b"\0"))
                at += _HEAD.size + size
                yield from self._event(watch, mask, name)

    def _bytes(self) -> bytes:
        try:
            return os.read(self._fd, _BUFFER_BYTES)
        except BlockingIOError:
            return b""

    def _event(self, watch: int, mask: int, name: str) -> Iterator[str]:
        if mask & _OVERFLOW:  # events were lost
            top = next(iter(self._paths.values()), "")
            self._add_tree(top)
            yield f"{top}/"
            return
        if mask & _IGNORED:
            self._paths.pop(watch, None)
            return
        folder = self._paths.get(watch)
        if folder is None:
            return
        path = f"{folder}/{name}"
        if not name:  # of the directory itself
            yield f"{folder}/"
        elif mask & _IS_DIRECTORY:
            if self._is_left_out(name) or not mask & (_CREATE | _MOVED_TO | _MOVED_FROM | _DELETE):
                return
            if mask & _MOVED_FROM:
                self._drop_tree(path)
            elif mask & (_CREATE | _MOVED_TO):
                self._add_tree(path)
            yield f"{path}/"
        else:
            yield path

    def _add_tree(self, top: str) -> None:
        for folder, names, _ in os.walk(top):
            names[:] = [name for name in names if not self._is_left_out(name)]
            watch: int = self._libc.inotify_add_watch(self._fd, os.fsencode(folder), _MASK)
            if watch >= 0:
                self._paths[watch] = folder
            elif ctypes.get_errno() == errno.ENOSPC:
                raise _error("raise fs.inotify.max_user_watches: all watches of this user are taken, by directories")
            elif ctypes.get_errno() not in _NOT_THERE:
                raise _error(f"{folder} cannot be watched")

    def _drop_tree(self, top: str) -> None:
        for watch, folder in list(self._paths.items()):
            if folder == top or folder.startswith(f"{top}/"):
                del self._paths[watch]
                self._libc.inotify_rm_watch(self._fd, watch)


def _error(says: str) -> OSError:
    return OSError(ctypes.get_errno(), f"{says} ({os.strerror(ctypes.get_errno())})")
