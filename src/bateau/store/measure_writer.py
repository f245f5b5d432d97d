"""Write the history of measures, in a thread of its own.

Called by wiring. `measures.py` beside it has the layout, and holds the invariants.

Points are in memory at once. A disk that is full or hangs costs what could not be written, and only if the control
plane ends before the hour is finished: a finished hour is written as a whole.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Final

from bateau.kit.latest import Latest
from bateau.store.measure_chunks import LogReader, OpenChunk, hour_file, point_record, row_of, table_record
from bateau.store.measures import Files, History, Span, hour_name, log_name, read_log

logger = logging.getLogger(__name__)

POINTS_MAX: Final = 7 * 24 * 240 + 240  # a week, and the hour that is written
BYTES_MAX: Final = 200 * 2**20
_LOG_PART: Final = 8  # an hour ends early when its log has this part of all bytes
_UNFINISHED_MAX: Final = 3  # hours that are kept in memory because they cannot be written
_WAITING_MAX: Final = 200
_HOUR_S: Final = 3600
_CLOSE_S: Final = 2.0
_MODE: Final = 0o600


class MeasureWriter(History):
    """The history of an instance, which only its control plane writes."""

    def __init__(
        self,
        directory: Path,
        now: Callable[[], float],
        *,
        bytes_max: int = BYTES_MAX,
        points_max: int = POINTS_MAX,
    ) -> None:
        super().__init__(now)
        self._files = Files(directory)
        self._bytes_max = bytes_max
        self._points_max = points_max
        self._finished: tuple[Span, ...] = ()
        self._unfinished: tuple[OpenChunk, ...] = ()
        self._chunk = OpenChunk(1)
        self._table: tuple[str, ...] | None = None
        self._tables = 0
        self._log_bytes = 0
        self._wrong: str | None = None
        self._latest = Latest[Sequence[Span]]()
        self._disk = _Disk(self._files, directory, failed=self._failed, finished=self._take)
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._open()
        self._thread = threading.Thread(target=self._work, name="measures", daemon=True)
        self._thread.start()

    @property
    def wrong(self) -> str | None:
        """Why the history cannot be written at the moment, None if it can."""
        return self._wrong

    @property
    def damaged(self) -> int:
        """How many files have a part that cannot be used, as far as they were opened."""
        return self._files.damaged

    def spans(self) -> Sequence[Span]:
        """Return all chunks, the one that is written at the end: the same object until there is another point."""
        found = (self._finished, self._unfinished, self._chunk, len(self._chunk.whens))
        return self._latest.of(self._all, same=found[:3], equal=found[3:])

    def _all(self) -> Sequence[Span]:
        in_memory = [
            Span(each.number, each.whens[0], each.whens[-1], len(each.whens), each)
            for each in (*self._unfinished, self._chunk)
            if each.whens
        ]
        known = {each.number for each in in_memory}
        return (*(each for each in self._finished if each.number not in known), *in_memory)

    def add(self, when_s: float, values: Mapping[str, Mapping[str, float]]) -> None:
        """Add a point of all services: the values of each by the name of the measure. What is missing is unknown."""
        rows = {service: row_of(row) for service, row in values.items()}
        if self._ends_before(when_s):
            self._finish()
        self._chunk.add(when_s, rows)
        records = []
        if self._table != (services := tuple(rows)):
            self._tables, self._table = self._tables + 1, services
            records.append(table_record(self._tables, services))
        records.append(point_record(self._tables, when_s, list(rows.values())))
        data, number = b"".join(records), self._chunk.number
        self._log_bytes += len(data)
        self.soon(lambda: self._disk.append(number, data))
        self.soon(self._cut)

    def close(self) -> None:
        """Write what waits."""
        self._waiting.put(None)
        self._thread.join(_CLOSE_S)

    def _ends_before(self, when_s: float) -> bool:
        """Whether a point needs another chunk. Where the clock was set back, times would not be in order."""
        whens = self._chunk.whens
        if not whens:
            return False
        is_later = ceil(when_s / _HOUR_S) != ceil(whens[-1] / _HOUR_S)
        return is_later or when_s <= whens[-1] or self._log_bytes > self._bytes_max // _LOG_PART

    def _finish(self) -> None:
        chunk, self._chunk = self._chunk, OpenChunk(self._chunk.number + 1)
        self._table, self._tables, self._log_bytes = None, 0, 0
        self._unfinished = (*self._unfinished, chunk)[-_UNFINISHED_MAX:]
        for each in self._unfinished:
            self.soon(lambda each=each: self._disk.finish(each))

    def _open(self) -> None:
        """Take the files of an earlier control plane. Its last log continues, others become finished hours."""
        self._finished = tuple(self._files.hours().values())
        finished, logs = {each.number for each in self._finished}, self._files.logs()
        found = [self._opened(number, path) for number, path in logs.items() if number not in finished]
        unfinished = [each for each in found if each is not None]
        newest = max((*finished, *logs), default=0)
        if unfinished and unfinished[-1].chunk.number == newest:
            last = unfinished.pop()
            self._chunk, self._tables, self._log_bytes = last.chunk, last.tables, last.whole
            self._disk.sizes[newest] = last.whole
        else:
            self._chunk = OpenChunk(newest + 1)
        self._unfinished = tuple(each.chunk for each in unfinished)[-_UNFINISHED_MAX:]
        for number in finished & logs.keys():
            self.soon(lambda path=logs[number]: path.unlink(missing_ok=True))
        for each in self._unfinished:
            self.soon(lambda each=each: self._disk.finish(each))

    def _opened(self, number: int, path: Path) -> LogReader | None:
        reader = LogReader(number)
        read_log(self._files, path, reader)
        return reader if reader.chunk.whens and not reader.is_foreign else None

    def soon(self, work: Callable[[], None]) -> None:
        """Have the thread do something behind what waits for it, unless too much does."""
        if self._waiting.qsize() < _WAITING_MAX:
            self._waiting.put(work)
        else:
            self._table = None  # the log has a gap: what comes next begins with its table

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            try:
                work()
            except OSError as error:
                self._failed(error)
            except Exception:
                logger.exception("the history of measures is not written, because of a bug")

    def _failed(self, error: OSError) -> None:
        says = f"the history of measures cannot be written: {self._files.directory}: {error.strerror}"
        if says != self._wrong:
            logger.error("%s (free some space, or make the directory writable)", says)
        self._wrong, self._table = says, None

    def _take(self, chunk: OpenChunk | None) -> None:
        """Take note of something that was written; with `chunk`, of a finished hour."""
        if self._wrong:
            logger.warning("the history of measures is written again")
        self._wrong = None
        if chunk:
            self._finished = tuple(self._files.hours().values())
            self._unfinished = tuple(each for each in self._unfinished if each is not chunk)

    def _cut(self) -> None:
        """Remove the oldest hours while there is too much."""
        sizes = dict(self._files.sizes())
        total, points = sum(size for _, size in sizes.values()), sum(each.points for each in self._finished)
        by_number = {each.number: each.points for each in self._finished}
        kept = {each.number for each in (*self._unfinished, self._chunk)}
        gone = set[int]()
        for path, (number, size) in sizes.items():
            if (total <= self._bytes_max and points <= self._points_max) or number in kept:
                break
            path.unlink(missing_ok=True)
            gone.add(number)
            total, points = total - size, points - by_number.pop(number, 0)
        if gone:
            self._finished = tuple(each for each in self._finished if each.number not in gone)


class _Disk:
    """What the thread does. `failed` gets each failure, `finished` each finished hour, or None for a point."""

    def __init__(
        self,
        files: Files,
        directory: Path,
        *,
        failed: Callable[[OSError], None],
        finished: Callable[[OpenChunk | None], None],
    ) -> None:
        self._files = files
        self._directory = directory
        self._failed = failed
        self._finished = finished
        self.sizes: dict[int, int] = {}  # of the logs, up to their last whole record

    def append(self, number: int, data: bytes) -> None:
        """Add records to the log of an hour."""
        path, before = self._directory / log_name(number), self.sizes.get(number, 0)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                os.ftruncate(descriptor, before)  # a torn record of an earlier process, or of a full disk
                written = os.pwrite(descriptor, data, before)
                if written < len(data):
                    os.pwrite(descriptor, data[written:], before + written)  # raises the reason
            finally:
                os.close(descriptor)
        except OSError as error:
            self._failed(error)
        else:
            self.sizes[number] = before + len(data)
            self._finished(None)

    def finish(self, chunk: OpenChunk) -> None:
        """Write the file of a finished hour, and remove its log."""
        path = self._directory / hour_name(chunk.number, chunk.whens)
        partial = path.with_suffix(".partial")
        if path.exists():
            self._finished(chunk)
            return
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(hour_file(chunk))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            self._failed(error)
        else:
            self._finished(chunk)
            self.sizes.pop(chunk.number, None)
            (self._directory / log_name(chunk.number)).unlink(missing_ok=True)
