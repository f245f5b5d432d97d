"""Files of measures with damage anywhere: values are the right ones or unknown."""

import random
from collections.abc import Iterator
from math import isnan
from pathlib import Path

import pytest

from bateau.store.measure_chunks import (
    NAMES,
    Columns,
    LogReader,
    OpenChunk,
    StoredChunk,
    hour_file,
    point_record,
    row_of,
    table_record,
)
from store.measure_points import START, values

SERVICES = ("app/shop", "model/chat")


def made() -> tuple[OpenChunk, bytes]:
    """Return a chunk of some points, and its log."""
    chunk, log = OpenChunk(1), table_record(1, SERVICES)
    for number in range(1, 7):
        rows = {service: row_of(row) for service, row in values(number, *SERVICES).items()}
        chunk.add(START + 15 * number, rows)
        log += point_record(1, START + 15 * number, list(rows.values()))
    return chunk, log


def _damaged(data: bytes, seed: int) -> Iterator[bytes]:
    """Yield a file with another byte at each position, and files with some bytes missing, added or swapped."""
    chance = random.Random(seed)  # noqa: S311 - a test needs the same numbers each time
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= chance.randrange(1, 256)
        yield bytes(changed)
    for _ in range(300):
        begins, length = chance.randrange(len(data)), chance.randrange(1, 60)
        yield data[:begins] + data[begins + length :]
        yield data[:begins] + chance.randbytes(length) + data[begins:]
        yield data[:begins]


@pytest.mark.parametrize("form", ["log", "hour"])
def test_no_damaged_byte_gives_a_wrong_value(form: str, tmp_path: Path) -> None:
    chunk, log = made()
    right = {
        (service, measure, when): value
        for service in SERVICES
        for measure in range(len(NAMES))
        for when, value in zip(chunk.whens, chunk.column(service, measure) or (), strict=True)
    }
    whole = {(service, measure): chunk.whole(service, measure) for service in SERVICES for measure in range(len(NAMES))}
    unknown_at_most = 0
    for number, data in enumerate(_damaged(log if form == "log" else hour_file(chunk), seed=3)):
        reported: list[str] = []
        if form == "log":
            reader = LogReader(1)
            reader.read(data)
            found: OpenChunk | StoredChunk = reader.chunk
        else:
            path = tmp_path / "a.hour"
            path.write_bytes(data)
            found = StoredChunk(path, kept=Columns(2**20), report=lambda _, says, seen=reported: seen.append(says))
        unknown = 0
        for service in SERVICES:
            for measure in range(len(NAMES)):
                column = found.column(service, measure)
                known = dict(zip(found.whens, column or (), strict=False))
                for when in chunk.whens:
                    value = known.get(when)
                    assert value is None or isnan(value) or value == right[service, measure, when], number
                    unknown += value is None or isnan(value)
                if form == "hour":
                    assert found.whole(service, measure) in ((None, 0), whole[service, measure]), number
        if form == "hour":
            assert reported or not unknown, number
        unknown_at_most = max(unknown_at_most, unknown)
    assert unknown_at_most == len(right), "damage to a header hides all that it describes"


def test_a_whole_file_gives_back_every_value(tmp_path: Path) -> None:
    chunk, _ = made()
    path = tmp_path / "a.hour"
    path.write_bytes(hour_file(chunk))
    found = StoredChunk(path, kept=Columns(100), report=lambda _, says: pytest.fail(says))
    for service in SERVICES:
        for measure in range(len(NAMES)):
            assert found.column(service, measure) == chunk.column(service, measure)
            assert found.whole(service, measure) == chunk.whole(service, measure)
    assert found.column("app/other", 0) is None
    assert found.whole("app/other", 0) == (None, 0)
