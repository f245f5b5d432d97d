"""Keep the measures of services on disk for a week, and answer questions about them.

Called by store.measure_writer and wiring.measures.

Whoever writes keeps the current hour in memory and in a log; a finished hour becomes a file of columns. Names of files
say which time they cover, so a question opens only those that it needs, and the sums of whole hours are read without
their points. Files and sums by hour were chosen by measuring: docs/decisions has the figures.

Invariant: the directory never has more than `bytes_max` bytes, and the oldest hour goes first. Held by
tests/store/test_measures.py::test_the_oldest_hours_go_first_and_the_size_is_bounded.
Invariant: a point that was written survives kill -9, and the file continues behind a torn record. Held by
tests/store/test_measures.py::test_points_survive_a_killed_process.
Invariant: whoever adds a point never waits for a disk, and no failure of one is raised. Held by
tests/store/test_measures.py::test_a_full_disk_is_reported_and_loses_no_point_in_memory and
tests/store/test_measures.py::test_nobody_waits_for_a_disk_that_hangs.
"""

import logging
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import floor, isnan
from pathlib import Path
from typing import Final

from bateau.domain.measures import INTERVAL_S, MEASURES, Measure, Point
from bateau.store.measure_chunks import NAMES, SUMS, Chunk, Columns, LogReader, StoredChunk, Whole, combined

logger = logging.getLogger(__name__)

FRESH_S: Final = 60.0
_COLUMNS_BYTES_MAX: Final = 16 * 2**20
_HOUR_NAME: Final = re.compile(r"(\d{9})-(-?\d+)-(-?\d+)-(\d+)\.hour")
_LOG_NAME: Final = re.compile(r"(\d{9})\.log")
_WINDOWS_MAX: Final = 64
_SUMS_MAX: Final = 50_000
_DIGITS: Final = 9  # of the number that every name begins with
_INDEX: Final = {name: index for index, name in enumerate(NAMES)}


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk with the times of its first and last points, which are known before it is opened."""

    number: int
    first: float
    last: float
    points: int
    chunk: Chunk
    is_finished: bool = False


def hour_name(number: int, whens: Sequence[float]) -> str:
    """Return the name of a finished hour's file."""
    return f"{number:09}-{floor(whens[0])}-{-floor(-whens[-1])}-{len(whens)}.hour"


def log_name(number: int) -> str:
    """Return the name of the log of an hour that is not finished."""
    return f"{number:09}.log"


class Files:
    """The files of a history, each opened once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.columns = Columns(_COLUMNS_BYTES_MAX)
        self._known: dict[str, Span] = {}
        self._reported: set[str] = set()

    def hours(self) -> Mapping[str, Span]:
        """Return the finished hours by the name of their file, the oldest first."""
        names = {path.name: found for path in self._paths() if (found := _HOUR_NAME.fullmatch(path.name))}
        self._known = {
            name: self._known.get(name) or self._hour(found)
            for name, found in sorted(names.items(), key=lambda each: int(each[1][1]))
        }
        return self._known

    def _hour(self, found: re.Match[str]) -> Span:
        number, first, last, points = (int(each) for each in found.groups())
        chunk = StoredChunk(self.directory / found[0], kept=self.columns, report=self.report)
        return Span(number, first, last, points, chunk, is_finished=True)

    def sizes(self) -> Mapping[Path, tuple[int, int]]:
        """Return the number and the bytes of every file, the oldest first."""
        found: dict[Path, tuple[int, int]] = {}
        for path in self._paths():
            with suppress(OSError, ValueError):
                found[path] = int(path.name[:_DIGITS]), path.stat().st_size
        return dict(sorted(found.items(), key=lambda each: each[1]))

    def logs(self) -> Mapping[int, Path]:
        """Return the logs by number, the oldest first."""
        found = {int(match[1]): path for path in self._paths() if (match := _LOG_NAME.fullmatch(path.name))}
        return dict(sorted(found.items()))

    def report(self, path: Path, says: str) -> None:
        """Log once that a part of a file cannot be used."""
        if path.name not in self._reported:
            self._reported.add(path.name)
            logger.error("the history of measures: %s: %s; the values in it are unknown", path, says)

    @property
    def damaged(self) -> int:
        """How many files were reported."""
        return len(self._reported)

    def _paths(self) -> Sequence[Path]:
        try:
            return list(self.directory.iterdir())
        except OSError:
            return ()


class History:
    """Answers questions about chunks. Satisfies `domain.measures.MeasureHistory`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._chosen: tuple[Sequence[Span], dict[tuple[float, float], _Window]] = ((), {})
        self._sums: dict[tuple[str, int, tuple[int, ...]], float | None] = {}

    def spans(self) -> Sequence[Span]:
        """Return all chunks, the one that was written last at the end: the same object until there is another point."""
        raise NotImplementedError

    def services(self) -> Sequence[str]:
        """Return the keys of the services that have a history."""
        return sorted({service for each in self.spans() for service in each.chunk.services})

    def points(self, service: str, measure: Measure, *, since: float, until: float, step_s: float) -> Sequence[Point]:
        """Return a point for each step, oldest first: the sum or, of a gauge, the largest value in the step."""
        index, count = _INDEX[measure.name], max(0, -floor(-(until - since) / step_s))
        found: list[list[Whole]] = [[] for _ in range(count)]
        for span in self._in(since, until):
            first, last = (_step(at, since, step_s) for at in (span.first, span.last))
            if first == last and 0 <= first < count and span.last <= until:
                found[first].append(span.chunk.whole(service, index))
                continue
            column, whens = span.chunk.column(service, index), span.chunk.whens
            for at in range(max(first, 0), min(last + 1, count)) if column else ():
                begins, ends = (bisect_right(whens, min(since + step_s * each, until)) for each in (at, at + 1))
                if column and ends > begins:
                    found[at].append(combined(column[begins:ends], is_sum=SUMS[index]))
        return [
            Point(
                when_s=min(since + step_s * (at + 1), until),
                value=_combined((value for value, _ in parts), index),
                seconds=INTERVAL_S * sum(points for _, points in parts),
            )
            for at, parts in enumerate(found)
        ]

    def total(self, service: str, measure: Measure, *, since: float, until: float) -> float | None:
        """Return the sum, or the largest value of a gauge, in a window; None where nothing was measured in it."""
        index, window = _INDEX[measure.name], self._window(since, until)
        key = (service, index, window.numbers)
        if key not in self._sums:
            if len(self._sums) > _SUMS_MAX:
                self._sums.clear()
            self._sums[key] = _combined((each.chunk.whole(service, index)[0] for each in window.whole), index)
        parts = (_part(each, service, index, since, until) for each in window.parts)
        return _combined((self._sums[key], *parts), index)

    def latest(self, service: str) -> Mapping[str, float]:
        """Return the latest value of each measure by its name, those that are older than a minute left out."""
        now = self._now()
        found: dict[str, float] = {}
        for span in self._in(now - FRESH_S, now):
            whens = span.chunk.whens
            for index, measure in enumerate(MEASURES):
                column = span.chunk.column(service, index) or ()
                for at in range(bisect_right(whens, now - FRESH_S), min(bisect_right(whens, now), len(column))):
                    if not isnan(column[at]):
                        found[measure.name] = column[at]
        return found

    @property
    def last(self) -> float | None:
        """The time of the latest point, None without any."""
        spans = self.spans()
        return spans[-1].chunk.whens[-1] if spans and spans[-1].chunk.whens else None

    def _in(self, since: float, until: float) -> Iterator[Span]:
        return (each for each in self.spans() if each.last > since and each.first <= until)

    def _window(self, since: float, until: float) -> "_Window":
        """Return the chunks of a window. They are the same for all services, and mostly the same a moment later."""
        spans = self.spans()
        if self._chosen[0] is not spans or len(self._chosen[1]) > _WINDOWS_MAX:
            self._chosen = (spans, {})
        windows = self._chosen[1]
        found = windows.get((since, until))
        if found is None:
            chosen = list(self._in(since, until))
            whole = [each for each in chosen if each.is_finished and since < each.first and each.last <= until]
            parts = [each for each in chosen if each not in whole]
            found = windows[since, until] = _Window(whole, parts, tuple(each.number for each in whole))
        return found


@dataclass(frozen=True, slots=True)
class _Window:
    """The chunks in a window that are `whole`, with their numbers, and those of which it has a part."""

    whole: Sequence[Span]
    parts: Sequence[Span]
    numbers: tuple[int, ...]


def _combined(values: Iterable[float | None], index: int) -> float | None:
    return combined([each for each in values if each is not None], is_sum=SUMS[index])[0]


def _part(span: Span, service: str, index: int, since: float, until: float) -> float | None:
    column, whens = span.chunk.column(service, index), span.chunk.whens
    if column is None:
        return None
    return combined(column[bisect_right(whens, since) : bisect_right(whens, until)], is_sum=SUMS[index])[0]


def _step(when_s: float, since: float, step_s: float) -> int:
    """Return the step of a time: a step begins behind its start and includes its end."""
    return -floor(-(when_s - since) / step_s) - 1


class MeasureReader(History):
    """Reads the history that a control plane writes, also while it writes, and while none runs."""

    def __init__(self, directory: Path, now: Callable[[], float]) -> None:
        super().__init__(now)
        self._files = Files(directory)
        self._logs: dict[int, LogReader] = {}

    def spans(self) -> Sequence[Span]:
        """Return all chunks; what has been written since the last question is read."""
        hours = self._files.hours()
        finished = {each.number for each in hours.values()}
        found = list(hours.values())
        logs = {number: path for number, path in self._files.logs().items() if number not in finished}
        self._logs = {number: self._logs.get(number) or LogReader(number) for number in logs}
        for number, path in logs.items():
            reader = self._logs[number]
            read_log(self._files, path, reader)
            if whens := reader.chunk.whens:
                found.append(Span(number, whens[0], whens[-1], len(whens), reader.chunk))
        return sorted(found, key=lambda each: each.number)


def read_log(files: Files, path: Path, reader: LogReader) -> None:
    """Read what a log has; what cannot be read is reported."""
    try:
        size = path.stat().st_size
        if size > reader.whole:
            reader.read(path.read_bytes())
    except FileNotFoundError:
        return  # its hour has just been finished
    except OSError as error:
        files.report(path, str(error.strerror))
    if reader.is_foreign:
        files.report(path, "it is in a format that this version does not know")
    elif reader.damaged:
        files.report(path, "a part of it is damaged")
