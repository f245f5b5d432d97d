"""Read the ledger from a position on, in parts, so that a reader that is started again continues where it was.

Called by wiring.

A position names files by their first lines, because a file is renamed and compressed, and its number is used again. For
each file that a writer may still have, which is not compressed, it has the number of bytes that were read. So all
readers that have read everything are at the same position, wherever they began.

Invariant: each line is read once, across rotations, compression and a restart with the position that was kept. Held by
tests/store/test_ledger_reader.py.
Invariant: a ledger whose files were removed is read from those that are written to now, and no older one again. Held by
tests/store/test_ledger_reader.py::test_a_ledger_that_was_removed_begins_again_without_its_older_files.
Refused: the time of the last line as the position. A line is written when its request ends, so times are not in order.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from bateau.domain.used import Used
from bateau.kit.json_value import JsonObject, is_object
from bateau.store.ledger import Ledger, used_of

Position = Mapping[str, int]

_PACKED: Final = ".gz"
_LOOKS: Final = 3
_BLOCK: Final = 2**16
_DAMAGE: Final = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """An open file, and the mark of its first line."""

    mark: str
    handle: IO[bytes]
    packed: bool


class LedgerReader:
    """Reads a ledger from a position on; an empty position is before its first line."""

    def __init__(self, ledger: Ledger, position: Position) -> None:
        self._ledger = ledger
        self.position: Position = dict(position)
        self.at_end = False  # whether the last `read` has found the end of the ledger
        self._unpacking: _File | None = None  # kept open, so that no part is unpacked twice
        self._read_whole: set[str] = set()

    def read(self, lines_max: int) -> Sequence[Used]:
        """Return the requests of the next lines, and move the position behind these. Raises OSError.

        Damaged lines are left out, and lines about requests that have begun.
        """
        found: list[Used] = []
        left = lines_max
        files = self._pending()
        position = dict(self.position)
        try:
            for file in files:
                offset = _within(file, position.pop(file.mark, 0))
                for line in self._lines(file, offset, left):
                    offset += len(line)
                    left -= 1
                    used = used_of(line)
                    if used is not None and not used.cut:
                        found.append(used)
                position[file.mark] = offset
                if not left:
                    break
                if file.packed and file is not files[-1]:
                    del position[file.mark]
        finally:
            _close(file for file in files if file is not self._unpacking)
        self.position = position
        self._read_whole &= self.position.keys()
        self.at_end = left > 0
        return found

    def close(self) -> None:
        """Close the files."""
        if self._unpacking:
            self._unpacking.handle.close()
            self._unpacking = None

    def _pending(self) -> list[_File]:
        """Return the files from the position on, the oldest one first. The position forgets files that were removed."""
        for _ in range(_LOOKS):
            files = self._back_to(self.position)
            known = [file.mark for file in files if file.mark in self.position]
            if known or not self.position:
                self.position = {mark: offset for mark, offset in self.position.items() if mark in known}
                newest = next((at for at, file in enumerate(files) if file.mark in known), len(files))
                _close(file for file in files[newest:] if file.mark not in known)
                return [file for at, file in enumerate(files) if at < newest or file.mark in known][::-1]
            _close(files)  # a file that is compressed at this moment may have been missed
        files = self._back_to({})
        _close(file for file in files if file.packed)
        files = [file for file in files if not file.packed]
        self.position = {} if files else self.position
        return files[::-1]

    def _back_to(self, position: Position) -> list[_File]:
        """Open files, the newest one first, until all of a position are found."""
        missing, found = set(position), list[_File]()
        for file in _newest_first(self._ledger):
            found.append(file)
            missing.discard(file.mark)
            if position and not missing:
                break
        return found

    def _lines(self, file: _File, offset: int, lines_max: int) -> Iterator[bytes]:
        """Yield whole lines from an offset on."""
        if file.mark in self._read_whole:
            return
        handle = self._kept(file) if file.packed else file.handle
        try:
            if handle.tell() != offset:
                handle.seek(offset)
            for _ in range(lines_max):
                line = handle.readline()
                if not line.endswith(b"\n"):
                    break
                yield line
            else:
                return
        except _DAMAGE:
            pass  # the lines before the damage were read
        if file.packed:
            self._read_whole.add(file.mark)
            self.close()

    def _kept(self, file: _File) -> IO[bytes]:
        """Return the handle with which a compressed file was read before, or this one from now on."""
        if self._unpacking is None or self._unpacking.mark != file.mark:
            self.close()
            self._unpacking = file
        return self._unpacking.handle


def position_in(tree: JsonObject) -> Position | None:
    """Return the position in a tree that was kept; None if it is damaged: an empty one would be before all lines."""
    found = tree.get("position")
    if not is_object(found) or not all(type(offset) is int and offset >= 0 for offset in found.values()):
        return None
    return {mark: offset for mark, offset in found.items() if isinstance(offset, int)}


def end_of(ledger: Ledger) -> Position:
    """Return the position behind the last whole line. Raises OSError."""
    found: dict[str, int] = {}
    for file in _newest_first(ledger):
        with closing(file.handle):
            if found and file.packed:
                break
            found[file.mark] = _end(file)
            if file.packed:
                break
    return found


def start_of(ledger: Ledger, time: float) -> Position:
    """Return the position before all requests that have ended at a time or later. Raises OSError."""
    for _ in range(_LOOKS):
        with suppress(FileNotFoundError):  # it was compressed at this moment
            for path in ledger.files():
                is_older = path.stat().st_mtime < time and path.suffix == _PACKED
                if not is_older and (file := _opened(path)):
                    file.handle.close()
                    return {file.mark: 0}
                path.stat()  # raises if it was compressed since
            return end_of(ledger)
    return {}


def _end(file: _File) -> int:
    """Return the number of bytes until the last end of a line."""
    if file.packed:
        found = 0
        with suppress(*_DAMAGE):
            file.handle.seek(0)
            for line in file.handle:
                found += len(line)
        return found
    end = file.handle.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.handle.seek(start)
        if (last := file.handle.read(end - start).rfind(b"\n")) >= 0:
            return start + last + 1
        end = start
    return 0


def _within(file: _File, offset: int) -> int:
    """Return an offset that a file has: a person may have made it shorter."""
    return offset if file.packed else min(offset, os.fstat(file.handle.fileno()).st_size)


def _newest_first(ledger: Ledger) -> Iterator[_File]:
    """Open each file that has a whole line.

    The current one is opened before the others are listed: if it is renamed meanwhile, it is found twice, not missed.
    """
    current = _opened(ledger.path)
    if current:
        yield current
    for path in reversed(ledger.files()[:-1]):
        file = _opened(path)
        if file and current and file.mark == current.mark:
            _close([file])
        elif file:
            yield file


def _opened(path: Path) -> _File | None:
    packed = path.suffix == _PACKED
    try:
        handle = cast("IO[bytes]", gzip.open(path) if packed else path.open("rb"))  # noqa: SIM115 - kept by the caller
    except FileNotFoundError:
        return None
    try:
        first = handle.readline()
    except _DAMAGE:
        first = b""
    if not first.endswith(b"\n"):
        handle.close()
        return None
    return _File(mark=hashlib.blake2b(first, digest_size=16).hexdigest(), handle=handle, packed=packed)


def _close(files: Iterator[_File] | Sequence[_File]) -> None:
    for file in files:
        file.handle.close()
