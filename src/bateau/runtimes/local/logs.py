"""Keep, rotate and read the log files that replicas write themselves.

Called by runtimes.local and wiring.logs.

Invariant: a replica appends directly to its file (O_APPEND), and no pipe leads through the control plane, so no replica
blocks or dies when the control plane ends. Held by tests/runtimes/test_logs.py and tests/local/test_faults.py.
Can be lost: while a replica runs, its full file is copied and then truncated (as by logrotate's `copytruncate`). Lines
written in the microseconds between the last read and the truncation are lost. A rotation at a start loses nothing.
Refused: a logging process per replica; it would double the number of supervised processes.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LAST_LINES = 10
LAST_CHARACTERS_MAX = 2_000  # of each line: a program may print megabytes without a line feed
LOG_BYTES_MAX = 8 * 1024 * 1024
KEEP = 3
BLOCK_BYTES = 64 * 1024
TAIL_BYTES_MAX = 4 * 1024 * 1024
FOLLOW_DELAY_S = 0.2


def open_log(path: Path, *, bytes_max: int = LOG_BYTES_MAX) -> BinaryIO:
    """Open a log for appending, for a process that is about to start. A full log is rotated first."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > bytes_max:
            _shift(path)
            path.replace(_rotated(path, 1))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return open(descriptor, "ab", buffering=0)  # noqa: PTH123 - a descriptor, for its mode


def rotate_if_full(path: Path, *, bytes_max: int = LOG_BYTES_MAX) -> bool:
    """Copy a full log to `NAME.1` and truncate it, while its process continues to write. Return whether it was full.

    It reads and writes the whole file, so call it in a thread.
    """
    try:
        if path.stat().st_size <= bytes_max:
            return False
    except FileNotFoundError:
        return False
    copy = path.with_name(path.name + ".copy")
    try:
        _copy_and_truncate(path, copy)
    except OSError:
        copy.unlink(missing_ok=True)  # on a full disk, half a copy would take the last room
        raise
    return True


def _copy_and_truncate(path: Path, copy: Path) -> None:
    with path.open("rb", buffering=0) as source, copy.open("wb", buffering=0) as target:
        copy.chmod(0o600)
        _copy(source, target)
        _shift(path)
        # Renamed before the truncation, so that a reader that sees the truncation finds the rest in NAME.1.
        copy.replace(_rotated(path, 1))
        while True:
            _copy(source, target)
            # A busy process may have written more meanwhile: catch up, then truncate at once.
            if os.fstat(source.fileno()).st_size == source.tell():
                os.truncate(path, 0)
                return


class LogFolder:
    """The logs of one instance; satisfies `bateau.ports.logs.Logs`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ids(self) -> Sequence[str]:
        """Return the ids of all replicas that have a log."""
        return sorted(path.stem for path in self._folder.glob("*.log"))

    def of(self, service: str) -> Sequence[str]:
        """Return the ids of the replicas of a service that have a log."""
        prefix = service.replace("/", ".") + "."
        return [each for each in self.ids() if each.startswith(prefix) and each[len(prefix) :].isdecimal()]

    def tail(self, replica_id: str, lines: int) -> Sequence[str]:
        """Return the last lines of a log, oldest first. Raises OSError if it cannot be read."""
        return tail(self._path(replica_id), lines)

    def follow(self, replica_id: str, *, lines: int = 0, every_s: float = FOLLOW_DELAY_S) -> AsyncGenerator[str]:
        """Yield the last `lines` lines, then each new one as it is written."""
        return follow(self._path(replica_id), lines=lines, every_s=every_s)

    def _path(self, replica_id: str) -> Path:
        return self._folder / f"{replica_id}.log"


def tail(path: Path, lines: int) -> tuple[str, ...]:
    """Return the last lines of a log, oldest first, reading from its end; () if there is no log.

    If the log has too few lines, it continues with the rotated file. Raises OSError if the log cannot be read.
    """
    reader = _Reader(path)
    try:
        found = [*reader.open_behind(lines), *reader.unfinished()]
    finally:
        reader.close()
    return tuple(found[-lines:]) if lines > 0 else ()


def last_lines(path: Path) -> tuple[str, ...]:
    """Return the last lines of a log for the status: few and short ones, or the reason why it cannot be read."""
    try:
        return tuple(line[:LAST_CHARACTERS_MAX] for line in tail(path, LAST_LINES))
    except OSError as error:
        return (f"(the log cannot be read: {error.strerror})",)


async def follow(path: Path, *, lines: int = 0, every_s: float = FOLLOW_DELAY_S) -> AsyncGenerator[str]:
    """Yield the last `lines` lines of a log, then each new line as it is written, until the caller closes it.

    It follows the log across both kinds of rotation, and waits for a log that does not exist yet. An incomplete last
    line is held back until its end is written.
    """
    reader = _Reader(path)
    try:
        for line in reader.open_behind(lines):
            yield line
        while True:
            for line in reader.read_lines():
                yield line
            await asyncio.sleep(every_s)
    finally:
        reader.close()


@dataclass(slots=True)
class _Reader:
    """A read position in a log that may be truncated and renamed meanwhile."""

    path: Path
    _file: BinaryIO | None = None
    _partial: bytes = b""
    _copy_inode: int | None = None
    _cut_announced: bool = False

    def open_behind(self, lines: int) -> list[str]:
        """Return the last `lines` whole lines, and set the position right after them, where new lines will follow."""
        self._open()
        found: list[bytes] = []
        if self._file is not None:
            *found, self._partial = _last_pieces(self._file, lines)
        if len(found) < lines:
            with contextlib.suppress(FileNotFoundError), _rotated(self.path, 1).open("rb") as rotated:
                *older, rest = _last_pieces(rotated, lines - len(found))
                found = [*older, *([rest] if rest else []), *found]
        return [line.decode("utf-8", "replace") for line in found[-lines:]] if lines > 0 else []

    def unfinished(self) -> list[str]:
        """Return the last line if it is incomplete."""
        return [self._partial.decode("utf-8", "replace")] if self._partial else []

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def read_lines(self) -> list[str]:
        data = b""
        if self._file is not None and self._has_moved(self._file):
            data = self._file.read()
            self.close()
        elif self._file is not None and self._was_cut(self._file):
            # The unread bytes are in the copy, at the same offset.
            with contextlib.suppress(FileNotFoundError), _rotated(self.path, 1).open("rb") as copy:
                copy.seek(self._file.tell())
                data = copy.read()
            self._file.seek(0)
        if self._cut_announced:
            return []
        if self._file is None:
            self._open()
        if self._file is not None:
            data += self._file.read()
        *whole, self._partial = (self._partial + data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]

    def _open(self) -> None:
        self._copy_inode = self._look_at_copy()
        self._cut_announced = False
        with contextlib.suppress(FileNotFoundError):
            self._file = self.path.open("rb")

    def _has_moved(self, file: BinaryIO) -> bool:
        try:
            return self.path.stat().st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _was_cut(self, file: BinaryIO) -> bool:
        inode = self._look_at_copy()
        is_shorter = os.fstat(file.fileno()).st_size < file.tell()
        if is_shorter or (self._cut_announced and inode != self._copy_inode):
            self._copy_inode, self._cut_announced = inode, False
            return True
        # A new copy announces a truncation that follows at once. By the next read it is done, even if the file has
        # grown to its old size again.
        self._cut_announced = inode != self._copy_inode
        return False

    def _look_at_copy(self) -> int | None:
        try:
            return _rotated(self.path, 1).stat().st_ino
        except FileNotFoundError:
            return None


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while block := source.read(BLOCK_BYTES):
        target.write(block)


def _rotated(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _shift(path: Path) -> None:
    """Rename the rotated files to make room for a new NAME.1. The oldest file is overwritten."""
    for number in range(KEEP - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            _rotated(path, number).replace(_rotated(path, number + 1))


def _last_pieces(file: BinaryIO, lines: int) -> list[bytes]:
    """Return the last `lines` lines and the rest after the last newline, often empty. Moves to the end of the file."""
    place = end = file.seek(0, os.SEEK_END)
    data = b""
    # One newline more than lines, because the first piece may be only the end of a line.
    while place > 0 and data.count(b"\n") <= lines and len(data) < TAIL_BYTES_MAX:
        size = min(BLOCK_BYTES, place)
        place -= size
        file.seek(place)
        data = file.read(size) + data
    file.seek(end)
    return data.split(b"\n")[-lines - 1 :]
