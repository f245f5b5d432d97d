"""A file that is still arriving: locked, hashed as it grows, and kept for the next try.

Called by download (bytes come in) and by models (a whole file goes on into the cache).

Invariant: whoever holds the lock is the only one to write, in this process and in all others. The lock is on the file
itself, so that nothing but the resumable file is left behind when its writer is killed.
Invariant: when the disk is full in the middle, the partial file is removed. Free space was checked beforehand, so it
was taken by something else meanwhile: a machine without a free byte harms what runs on it more than a second fetch.
Refused: lock files; they stay behind, and removing them safely is a protocol of its own.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, cast

from bateau.domain.errors import DiskFull, SourceError
from bateau.kit.backoff import Backoff
from bateau.sources.offload import offload

_CHUNK_BYTES: Final = 1 << 20
_POLL: Final = Backoff(initial_s=0.02, ceiling_s=0.5)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Partial:
    """A partial file under its lock. Made by `claim`, given back by `close`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self.size_bytes = os.fstat(descriptor).st_size
        self.etag = _note(path).get("etag")

    @classmethod
    async def claim(cls, path: Path, *, elsewhere: Callable[[int], bool]) -> Self | None:
        """Open and lock the file at `path`, waiting for whoever holds it.

        While waiting, `elsewhere` is called with the bytes there are so far; when it returns True somebody else has
        finished the work, and None is returned. Raises SourceError where the cache cannot be written.
        """
        failures = 0
        while True:
            descriptor = _open(path)
            try:
                if elsewhere(os.fstat(descriptor).st_size):
                    _close(path, descriptor, locked=False)
                    return None
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is_at(path, descriptor):  # finished and renamed between open and lock: look again
                    os.close(descriptor)
                    continue
                # Whoever held the lock may have finished between the look above and this lock.
                if elsewhere(os.fstat(descriptor).st_size):
                    _close(path, descriptor, locked=True)
                    return None
                return cls(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
                raise
            failures += 1
            await asyncio.sleep(_POLL.delay_s(failures))

    async def rehash(self) -> None:
        """Hash what an earlier try has left, so that the digest covers the whole file."""
        self._digest = hashlib.sha256()
        done = 0
        while done < self.size_bytes:
            chunk = await offload(os.pread, self._descriptor, _CHUNK_BYTES, done)
            if not chunk:
                break
            await offload(self._digest.update, chunk)
            done += len(chunk)
        self.size_bytes = done

    @property
    def sha256(self) -> str:
        """Digest of what is there, as hex."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Append. Raises DiskFull, with the partial file removed, or SourceError."""
        view = memoryview(data)
        while view:
            try:
                written = os.pwrite(self._descriptor, view, self.size_bytes)
            except OSError as error:
                if error.errno in _FULL:
                    arrived = self.size_bytes
                    self.discard()
                    raise DiskFull(
                        f"the disk of {self.path.parent} was full after {arrived} bytes of the model",
                        hint="free some room, or set XDG_CACHE_HOME to a larger disk; what had arrived was removed",
                    ) from error
                raise unwritable(self.path.parent, error) from error
            self._digest.update(view[:written])
            self.size_bytes += written
            view = view[written:]

    def note(self, *, etag: str | None, reference: str) -> None:
        """Remember which version of the file this is, for the If-Range of the next try."""
        self.etag = etag
        try:
            _note_path(self.path).write_text(json.dumps({"etag": etag, "reference": reference}), encoding="utf-8")
        except OSError as error:
            raise unwritable(self.path.parent, error) from error

    def restart(self) -> None:
        """Drop what is there: it belongs to another version of the file."""
        os.ftruncate(self._descriptor, 0)
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        self.etag = None

    def discard(self) -> None:
        """Remove the file: nothing of it is of use to another try."""
        self.restart()
        self.path.unlink(missing_ok=True)
        _note_path(self.path).unlink(missing_ok=True)

    def move(self, target: Path) -> None:
        """Put the whole file where it belongs, on disk before it has its name."""
        os.fsync(self._descriptor)
        os.fchmod(self._descriptor, 0o444)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(target)
        _note_path(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Give the lock back. A file without a byte is removed."""
        _close(self.path, self._descriptor, locked=True)


def partial_reference(path: Path) -> str | None:
    """Return the reference that a partial file was begun for, None where it is not known."""
    return _note(path).get("reference")


def discard_unlocked(path: Path) -> int | None:
    """Remove a partial file that nobody writes; return the bytes freed, None where somebody does."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    partial = Partial(path, descriptor)
    freed = partial.size_bytes
    partial.discard()
    partial.close()
    return freed


def unwritable(directory: Path, error: OSError) -> SourceError:
    """Say that the cache cannot be written."""
    if error.errno in _FULL:
        return DiskFull(
            f"the disk of {directory} is full", hint="free some room, or set XDG_CACHE_HOME to a larger disk"
        )
    return SourceError(
        f"the model cache {directory} cannot be written: {error.strerror}",
        hint="set XDG_CACHE_HOME to a directory that can be written",
    )


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise unwritable(path.parent, error) from error


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _close(path: Path, descriptor: int, *, locked: bool) -> None:
    if locked and os.fstat(descriptor).st_size == 0 and _is_at(path, descriptor):
        path.unlink(missing_ok=True)
        _note_path(path).unlink(missing_ok=True)
    os.close(descriptor)


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _note(path: Path) -> dict[str, str]:
    try:
        found: object = json.loads(_note_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    items = cast("dict[object, object]", found).items()
    return {str(key): value for key, value in items if isinstance(value, str)}
