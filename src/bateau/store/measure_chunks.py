"""Chunks of the history of measures: an hour of points of all services, in memory and as files.

Called by store.measure_writer and store.measures.

The hour that is written is a log: a table of its services whenever they change, and a record for each point in time. A
finished hour is a file of columns, one record for each measure, with the sums and largest values of the whole hour
beside them.

Invariant: bytes that have changed make values unknown, and never wrong. Held by
tests/store/test_measure_chunks.py::test_no_damaged_byte_gives_a_wrong_value.
"""

import json
import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan, nan
from os import SEEK_END
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Final, Literal, Protocol

from bateau.domain.measures import MEASURES
from bateau.kit.json_value import is_object, texts_at
from bateau.store.measure_records import (
    DamagedError,
    Floats,
    Found,
    compressed,
    content_of,
    framed,
    packed,
    scanned,
    uncompressed,
    unpacked,
    walked,
)

FORMAT: Final = 1
NAMES: Final = tuple(each.name for each in MEASURES)
SUMS: Final = tuple(each.kind == "sum" for each in MEASURES)
_TABLE, _POINT, _HOUR, _WHOLE, _COLUMN = range(5)
_POINT_HEAD: Final = struct.Struct("<Id")  # number of the table, time
_COLUMN_HEAD: Final = struct.Struct("<H")  # position of the measure in the header of the hour
_UNKNOWN: Final = nan
Whole = tuple[float | None, int]  # a sum or a largest value, None if it is unknown, and of how many points it is


class Chunk(Protocol):
    """An hour of points."""

    @property
    def whens(self) -> Sequence[float]:
        """The times of its points, in order."""
        ...

    @property
    def services(self) -> Sequence[str]:
        """The keys of its services."""
        ...

    def whole(self, service: str, measure: int) -> Whole:
        """Return the sum, or the largest value, of the whole hour."""
        ...

    def column(self, service: str, measure: int) -> Sequence[float] | None:
        """Return a value for each of `whens`, NaN for an unknown one; None where nothing is known."""
        ...


class ForeignError(DamagedError):
    """A file has a format that this version does not know."""


@dataclass(slots=True)
class OpenChunk:
    """An hour in memory, to which points are added."""

    number: int
    whens: list[float] = field(default_factory=list[float])
    columns: dict[str, list[Floats]] = field(default_factory=dict[str, list[Floats]])

    @property
    def services(self) -> Sequence[str]:
        """The keys of its services."""
        return tuple(self.columns)

    def add(self, when_s: float, values: Mapping[str, Sequence[float]]) -> None:
        """Add a point. `values` has the values of a service in the order of the measures, NaN for unknown ones."""
        before = len(self.whens)
        self.whens.append(when_s)
        for service in values:
            if service not in self.columns:
                self.columns[service] = [array("f", [_UNKNOWN]) * before for _ in NAMES]
        for service, columns in self.columns.items():
            row = values.get(service)
            for index, column in enumerate(columns):
                column.append(_UNKNOWN if row is None else row[index])

    def whole(self, service: str, measure: int) -> Whole:
        """Return the sum, or the largest value, of the whole hour."""
        return combined(self.column(service, measure) or (), is_sum=SUMS[measure])

    def column(self, service: str, measure: int) -> Sequence[float] | None:
        """Return a value for each of `whens`, NaN for an unknown one; None where nothing is known."""
        columns = self.columns.get(service)
        return None if columns is None else columns[measure]


def combined(values: Sequence[float], *, is_sum: bool) -> Whole:
    """Return the sum, or the largest, of the values that are known, and how many are.

    >>> combined([1.0, nan, 2.0], is_sum=True), combined([nan], is_sum=False)
    ((3.0, 2), (None, 0))
    """
    if is_sum and values and not isnan(total := sum(values)):
        return total, len(values)
    known = [value for value in values if not isnan(value)]
    if not known:
        return None, 0
    return sum(known) if is_sum else max(known), len(known)


def row_of(values: Mapping[str, float]) -> list[float]:
    """Return the values of a service in the order of the measures, as precise as they are kept."""
    return list(array("f", [values.get(name, _UNKNOWN) for name in NAMES]))


def table_record(number: int, services: Sequence[str]) -> bytes:
    """Return the record of a table: the services and measures of the points behind it."""
    tree = {"format": FORMAT, "table": number, "measures": NAMES, "services": services}
    return framed(_TABLE, compressed(json.dumps(tree).encode()))


def point_record(table: int, when_s: float, rows: Sequence[Sequence[float]]) -> bytes:
    """Return the record of a point in time."""
    values = array("f", [value for row in rows for value in row])
    return framed(_POINT, _POINT_HEAD.pack(table, when_s) + packed(values))


class LogReader:
    """Reads the log of an hour, also while it is written."""

    def __init__(self, number: int) -> None:
        self.chunk = OpenChunk(number)
        self.whole = 0
        self.damaged = 0
        self.tables = 0  # the number of the latest table
        self.is_foreign = False  # whether it is of a version with another format
        self._tables: dict[int, tuple[Sequence[str], Sequence[int | None]]] = {}

    def read(self, data: bytes) -> None:
        """Add what the file has beyond the records that were read."""
        scan = scanned(data, start=self.whole)
        self.whole, self.damaged = scan.whole, self.damaged + scan.damaged
        for record in scan.records:
            payload = data[record.start : record.end]
            try:
                if record.kind == _TABLE:
                    self._take_table(payload)
                elif record.kind == _POINT:
                    self._take_point(payload)
            except ForeignError:
                self.is_foreign = True
            except (DamagedError, struct.error, ValueError):
                self.damaged += 1

    def _take_table(self, payload: bytes) -> None:
        tree = _tree(payload)
        number = int(tree.get("table", 0))
        self._tables[number] = (texts_at(tree, "services"), _positions(texts_at(tree, "measures")))
        self.tables = max(self.tables, number)

    def _take_point(self, payload: bytes) -> None:
        number, when_s = _POINT_HEAD.unpack_from(payload)
        if number not in self._tables:
            raise DamagedError("its table is missing")
        services, positions = self._tables[number]
        values = unpacked("f", payload[_POINT_HEAD.size :])
        width = len(positions)
        if len(values) != width * len(services):
            raise DamagedError("it has another number of values than its table")
        if self.chunk.whens and when_s <= self.chunk.whens[-1]:
            raise DamagedError("it is not later than the one before")
        rows: dict[str, Sequence[float]] = {}
        for index, service in enumerate(services):
            row = [_UNKNOWN] * len(NAMES)
            for offset, position in enumerate(positions):
                if position is not None:
                    row[position] = values[width * index + offset]
            rows[service] = row
        self.chunk.add(when_s, rows)


def hour_file(chunk: OpenChunk) -> bytes:
    """Return the file of a finished hour."""
    tree = {"format": FORMAT, "measures": NAMES, "services": chunk.services, "whens": chunk.whens}
    whole = array("d")
    for service in chunk.services:
        for measure in range(len(NAMES)):
            value, count = chunk.whole(service, measure)
            whole.extend((_UNKNOWN if value is None else value, count))
    parts = [framed(_HOUR, compressed(json.dumps(tree).encode())), framed(_WHOLE, packed(whole))]
    for measure in range(len(NAMES)):
        column = array("f")
        for columns in chunk.columns.values():
            column.extend(columns[measure])
        parts.append(framed(_COLUMN, _COLUMN_HEAD.pack(measure) + packed(column)))
    return b"".join(parts)


class StoredChunk:
    """A finished hour in a file, of which no more is read than is asked for.

    `kept` keeps columns between questions. `damaged` is why a part of the file cannot be used, as far as that is known.
    """

    def __init__(self, path: Path, *, kept: "Columns", report: Callable[[Path, str], None]) -> None:
        self._path = path
        self._kept = kept
        self._report = report

    @cached_property
    def _parts(self) -> tuple[Mapping[str, Any], Mapping[int, Found], Found | None]:
        """Return the header, and where the columns and the sums are."""
        tree, columns, whole = dict[str, Any](), dict[int, Found](), None
        try:
            with self._path.open("rb") as file:
                for record in self._records(file):
                    if record.kind == _HOUR:
                        tree = _tree(content_of(file, record))
                    elif record.kind == _WHOLE:
                        whole = record
                    elif record.kind == _COLUMN:
                        file.seek(record.start)
                        columns[_COLUMN_HEAD.unpack(file.read(_COLUMN_HEAD.size))[0]] = record
        except (DamagedError, OSError, struct.error, ValueError) as error:
            self._report(self._path, str(error))
            return {}, {}, None
        if whole is None or not tree or columns.keys() != set(range(len(texts_at(tree, "measures")))):
            self._report(self._path, "a part of it is damaged")
        return tree, columns, whole

    def _records(self, file: BinaryIO) -> Sequence[Found]:
        size = file.seek(0, SEEK_END)
        found = walked(file, size)
        if found is not None:
            return found
        self._report(self._path, "a part of it is damaged")
        file.seek(0)
        return scanned(file.read()).records

    @cached_property
    def whens(self) -> Sequence[float]:
        """The times of its points, in order."""
        return tuple(self._parts[0].get("whens", ()))

    @cached_property
    def services(self) -> Sequence[str]:
        """The keys of its services."""
        return texts_at(self._parts[0], "services")

    @cached_property
    def _slots(self) -> Mapping[str, int]:
        return {service: index for index, service in enumerate(self.services)}

    @cached_property
    def _measures(self) -> Sequence[str]:
        return texts_at(self._parts[0], "measures")

    @cached_property
    def _positions(self) -> Mapping[int, int]:
        """The positions in this file of the measures of this version."""
        return {position: index for index, position in enumerate(_positions(self._measures)) if position is not None}

    @cached_property
    def _whole(self) -> Floats | None:
        record = self._parts[2]
        return record and self._numbers("d", record, 0, count=2 * len(self.services) * len(self._measures))

    def whole(self, service: str, measure: int) -> Whole:
        """Return the sum, or the largest value, of the whole hour."""
        slot, position = self._slots.get(service), self._positions.get(measure)
        if slot is None or position is None:
            return None, 0
        if self._whole is None:
            return combined(self.column(service, measure) or (), is_sum=SUMS[measure])
        at = 2 * (slot * len(self._measures) + position)
        value, count = self._whole[at : at + 2]
        return (None, 0) if isnan(value) else (value, int(count))

    def column(self, service: str, measure: int) -> Sequence[float] | None:
        """Return a value for each of `whens`, NaN for an unknown one; None where nothing is known."""
        slot, position, count = self._slots.get(service), self._positions.get(measure), len(self.whens)
        record = None if position is None else self._parts[1].get(position)
        if slot is None or record is None:
            return None
        key = (self._path.name, measure)
        values = self._kept.get(key)
        if values is None:
            values = self._numbers("f", record, _COLUMN_HEAD.size, count=count * len(self.services))
            if values is None:
                return None
            self._kept.put(key, values)
        return values[slot * count : (slot + 1) * count]

    def _numbers(self, kind: Literal["f", "d"], record: Found, skipped: int, *, count: int) -> Floats | None:
        try:
            with self._path.open("rb") as file:
                values = unpacked(kind, content_of(file, record)[skipped:])
        except (DamagedError, OSError) as error:
            self._report(self._path, str(error))
            return None
        if len(values) != count:
            self._report(self._path, "a part of it has another number of values than its header")
            return None
        return values


class Columns:
    """The columns of files that were read last, up to a number of bytes. Threads may share it."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: dict[tuple[str, int], Floats] = {}
        self._lock = Lock()

    def get(self, key: tuple[str, int]) -> Floats | None:
        """Return a column, and keep it longest."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found
            return found

    def put(self, key: tuple[str, int], values: Floats) -> None:
        """Keep a column, and forget those that were not asked for the longest time."""
        with self._lock:
            self._forget(self._kept.pop(key, None))
            self._kept[key] = values
            self._bytes += len(values) * values.itemsize
            while self._bytes > self._bytes_max and len(self._kept) > 1:
                self._forget(self._kept.pop(next(iter(self._kept))))

    def _forget(self, values: Floats | None) -> None:
        if values is not None:
            self._bytes -= len(values) * values.itemsize


def _tree(payload: bytes) -> dict[str, Any]:
    tree: object = json.loads(uncompressed(payload))
    if not is_object(tree) or tree.get("format") != FORMAT:
        number = tree.get("format") if is_object(tree) else None
        raise ForeignError(f"it has format {number}, and this version reads format {FORMAT}")
    return tree


def _positions(names: Sequence[str]) -> Sequence[int | None]:
    """Return the positions of measures in the table of this version; None for those that it does not have."""
    return [NAMES.index(name) if name in NAMES else None for name in names]
