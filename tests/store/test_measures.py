"""The history of measures: what it answers, and what it survives."""

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bateau.domain.measures import (
    CPU,
    INTERVAL_S,
    LATENCY_P95,
    MEASURES,
    MEMORY,
    REQUESTS,
    SERVER_ERRORS,
    Measure,
    Point,
)
from bateau.store import measure_writer
from bateau.store.measure_writer import MeasureWriter
from bateau.store.measures import MeasureReader
from full_disk import fill, small_disk
from store.measure_points import START, values

CHAT, SHOP = "model/chat", "app/shop"


class Kept:
    """A history on disk with a writer that may be replaced, as after a restart."""

    def __init__(self, directory: Path, *, bytes_max: int = 200 * 2**20, points_max: int = 50_000) -> None:
        self.directory = directory
        self.now = START
        self._bounds = (bytes_max, points_max)
        self.writer = self._opened()

    def _opened(self) -> MeasureWriter:
        bytes_max, points_max = self._bounds
        return MeasureWriter(self.directory, lambda: self.now, bytes_max=bytes_max, points_max=points_max)

    def again(self) -> MeasureWriter:
        self.writer.close()
        self.writer = self._opened()
        return self.writer

    def add(self, first: int, last: int, *services: str) -> None:
        for number in range(first, last + 1):
            self.now = at(number)
            self.writer.add(self.now, values(number, *(services or (CHAT, SHOP))))
            if not number % 50:
                self.drain()

    def reader(self) -> MeasureReader:
        return MeasureReader(self.directory, lambda: self.now)

    def drain(self) -> None:
        """Wait until the writer has written what was added up to now."""
        done = threading.Event()
        self.writer.soon(done.set)
        assert done.wait(20)

    def written(self) -> MeasureReader:
        """Return a reader of what was added up to now."""
        self.drain()
        return self.reader()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path / "measures")
    yield made
    made.writer.close()


def at(number: int) -> float:
    return START + INTERVAL_S * number


def value(number: int, measure: Measure, service: int = 0) -> float:
    return 1000.0 * number + 100 * service + MEASURES.index(measure)


def test_a_total_is_the_sum_in_a_window_and_of_a_gauge_the_largest_value(kept: Kept) -> None:
    kept.add(1, 600)
    for history in (kept.writer, kept.written(), kept.again()):
        assert history.services() == [SHOP, CHAT]
        for first, last in ((1, 600), (1, 1), (200, 260), (240, 240), (241, 480), (5, 599)):
            window = {"since": at(first - 1), "until": at(last)}
            wanted = sum(value(number, REQUESTS) for number in range(first, last + 1))
            assert history.total(CHAT, REQUESTS, **window) == wanted, (first, last)
            assert history.total(SHOP, MEMORY, **window) == value(last, MEMORY, 1), (first, last)
        assert history.total(CHAT, REQUESTS, since=at(600), until=at(700)) is None
        assert history.total("app/other", REQUESTS, since=at(0), until=at(600)) is None


def test_points_are_steps_with_gaps_where_nothing_is_known(kept: Kept) -> None:
    kept.add(1, 8)
    kept.add(300, 304)
    expected = [
        Point(when_s=at(4), value=sum(value(each, REQUESTS) for each in range(1, 5)), seconds=60.0),
        Point(when_s=at(8), value=sum(value(each, REQUESTS) for each in range(5, 9)), seconds=60.0),
        Point(when_s=at(12), value=None),
    ]
    for history in (kept.writer, kept.written()):
        assert history.points(CHAT, REQUESTS, since=at(0), until=at(12), step_s=60.0) == expected
        week = history.points(CHAT, MEMORY, since=at(0), until=at(480), step_s=3600.0)
        assert [each.value for each in week] == [value(8, MEMORY), value(304, MEMORY)]
        assert [each.seconds for each in week] == [8 * INTERVAL_S, 5 * INTERVAL_S], "what was measured of the hour"
        assert history.points(CHAT, MEMORY, since=at(0), until=at(0), step_s=60.0) == []


def test_a_value_that_is_missing_is_unknown_and_never_0(kept: Kept) -> None:
    kept.writer.add(at(1), {CHAT: {"requests": 2.0}})
    kept.writer.add(at(2), {CHAT: {"requests": 3.0}, SHOP: {"cpu": 0.5}})
    kept.writer.add(at(3), {SHOP: {"cpu": 0.25}})
    for history in (kept.writer, kept.written(), kept.again()):
        window = {"since": at(0), "until": at(3)}
        assert history.total(CHAT, REQUESTS, **window) == 5.0
        assert history.total(CHAT, LATENCY_P95, **window) is None
        assert history.total(SHOP, CPU, **window) == 0.75
        assert [each.value for each in history.points(SHOP, CPU, **window, step_s=15.0)] == [None, 0.5, 0.25]


def test_the_latest_values_are_at_most_a_minute_old(kept: Kept) -> None:
    kept.writer.add(at(1), {CHAT: {"requests": 1.0, "memory": 7.0}})
    kept.writer.add(at(3), {CHAT: {"requests": 2.0}})
    kept.now = at(4)
    assert kept.writer.latest(CHAT) == {"requests": 2.0, "memory": 7.0}
    assert kept.written().latest(CHAT) == {"requests": 2.0, "memory": 7.0}
    kept.now = at(6)
    assert kept.writer.latest(CHAT) == {"requests": 2.0}
    kept.now = at(60)
    assert kept.writer.latest(CHAT) == {} == kept.writer.latest("app/other")


def test_a_finished_hour_is_one_file_and_its_log_is_gone(kept: Kept) -> None:
    kept.add(1, 250)
    kept.written()
    names = sorted(path.name for path in kept.directory.iterdir())
    assert [name.rpartition(".")[2] for name in names] == ["hour", "log"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept.directory.iterdir())


def test_a_reader_follows_the_writer_through_an_hour(kept: Kept) -> None:
    reader = kept.reader()
    assert reader.services() == [] and reader.last is None
    for number in range(230, 260):
        kept.add(number, number)
        kept.written()
        assert reader.last == at(number)
    assert reader.total(CHAT, REQUESTS, since=at(0), until=at(300)) == sum(
        value(number, REQUESTS) for number in range(230, 260)
    )


def test_a_clock_that_jumps_loses_nothing(kept: Kept) -> None:
    kept.add(1000, 1010)
    kept.add(5, 10)
    kept.add(9_000_000, 9_000_002)
    kept.add(1011, 1020)
    kept.add(1111, 1120)
    kept.add(1115, 1117)
    for history in (kept.writer, kept.written(), kept.again()):
        assert history.total(CHAT, REQUESTS, since=at(1110), until=at(1120)) == sum(
            value(number, REQUESTS) for number in (*range(1111, 1121), 1115, 1116, 1117)
        ), "a clock that was set back within an hour"
        assert history.total(CHAT, REQUESTS, since=at(999), until=at(1020)) == sum(
            value(number, REQUESTS) for number in range(1000, 1021)
        )
        assert history.total(CHAT, REQUESTS, since=at(0), until=at(20)) == sum(
            value(number, REQUESTS) for number in range(5, 11)
        )
        assert history.total(CHAT, REQUESTS, since=at(8_000_000), until=at(9_900_000)) is not None


def test_services_that_come_and_go_keep_their_values(kept: Kept) -> None:
    kept.add(1, 3, CHAT)
    kept.add(4, 6, SHOP)
    kept.add(7, 9, CHAT, SHOP)
    for history in (kept.writer, kept.written(), kept.again()):
        assert history.total(CHAT, REQUESTS, since=at(0), until=at(9)) == sum(
            value(number, REQUESTS) for number in (1, 2, 3, 7, 8, 9)
        )
        assert history.total(SHOP, REQUESTS, since=at(3), until=at(6)) == sum(
            value(number, REQUESTS) for number in (4, 5, 6)
        )


def test_the_oldest_hours_go_first_and_the_size_is_bounded(tmp_path: Path) -> None:
    by_points = Kept(tmp_path / "points", points_max=500)
    by_points.add(1, 1200)
    reader = by_points.written()
    assert sum(each.points for each in reader.spans()) == 480 + 240, "of finished hours"
    assert reader.total(CHAT, REQUESTS, since=at(0), until=at(480)) is None
    assert reader.total(CHAT, REQUESTS, since=at(480), until=at(1200)) is not None
    by_points.writer.close()

    bytes_max = 60_000
    by_size = Kept(tmp_path / "bytes", bytes_max=bytes_max)
    chance = random.Random(7)  # noqa: S311 - a test needs the same numbers each time
    for number in range(1, 3000):
        row = {measure.name: chance.random() for measure in MEASURES}
        by_size.writer.add(at(number), {CHAT: row, SHOP: row})
        if not number % 50:
            by_size.drain()
            assert sum(path.stat().st_size for path in by_size.directory.iterdir()) <= bytes_max
    assert by_size.written().total(CHAT, REQUESTS, since=at(2900), until=at(3000)) is not None
    by_size.writer.close()


def test_points_survive_a_killed_process(tmp_path: Path) -> None:
    """A real process is killed in the middle of writing, again and again; what it had confirmed is there."""
    kept = Kept(tmp_path / "measures")
    chance, confirmed = random.Random(11), 0  # noqa: S311 - a test needs the same numbers each time
    command = [sys.executable, str(Path(__file__).with_name("measure_killed.py")), str(kept.directory)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    for _ in range(6):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
            assert process.stdout
            for _ in range(chance.randrange(20, 160)):
                confirmed = int(process.stdout.readline())
            time.sleep(chance.random() * 0.003)
            process.send_signal(signal.SIGKILL)
            confirmed = max([confirmed, *map(int, process.stdout.read().split())])
    for history in (kept.reader(), kept.again()):
        points = history.points(CHAT, REQUESTS, since=START, until=at(confirmed), step_s=INTERVAL_S)
        assert [each.value for each in points] == [
            value(number, REQUESTS, service=1) for number in range(1, confirmed + 1)
        ]
        assert history.total(SHOP, REQUESTS, since=START, until=at(confirmed)) == sum(
            value(number, REQUESTS) for number in range(1, confirmed + 1)
        )
    kept.writer.close()


def test_a_torn_record_costs_itself_only(kept: Kept) -> None:
    kept.add(1, 10)
    kept.written()
    kept.writer.close()
    (log,) = kept.directory.glob("*.log")
    log.write_bytes(log.read_bytes()[:-3])
    writer = kept.again()
    kept.add(11, 12)
    for history in (writer, kept.written()):
        found = [each.value for each in history.points(CHAT, REQUESTS, since=at(8), until=at(12), step_s=INTERVAL_S)]
        assert found == [value(9, REQUESTS), None, value(11, REQUESTS), value(12, REQUESTS)]


def test_a_full_disk_is_reported_and_loses_no_point_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path / "disk", mib=1) as disk:
        kept = Kept(disk / "measures")
        kept.add(1, 5)
        kept.written()
        filler = fill(disk)
        kept.add(6, 250)
        kept.written()
        assert kept.writer.wrong and "No space left on device" in kept.writer.wrong
        assert sum("cannot be written" in each.message for each in caplog.records) == 1, "it is reported once"
        window = {"since": at(0), "until": at(250)}
        wanted = sum(value(number, REQUESTS) for number in range(1, 251))
        assert kept.writer.total(CHAT, REQUESTS, **window) == wanted
        filler.unlink()
        kept.add(251, 500)
        reader = kept.written()
        assert kept.writer.wrong is None
        assert reader.total(CHAT, REQUESTS, **window) == wanted, "a finished hour is written as a whole"
        assert reader.total(CHAT, REQUESTS, since=at(480), until=at(500)) is not None
        assert kept.again().total(CHAT, REQUESTS, **window) == wanted
        kept.writer.close()


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    kept = Kept(tmp_path / "file" / "measures")
    kept.add(1, 3)
    kept.written()
    assert kept.writer.wrong and "Not a directory" in kept.writer.wrong
    assert kept.writer.total(CHAT, REQUESTS, since=at(0), until=at(3)) is not None
    assert [each.levelno for each in caplog.records] == [logging.ERROR]
    kept.writer.close()


def test_nobody_waits_for_a_disk_that_hangs(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, write = threading.Event(), os.pwrite

    def hang(*arguments: Any) -> int:
        hangs.wait(60)
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", hang)
    monkeypatch.setattr(measure_writer, "_WAITING_MAX", 20)
    began = time.monotonic()
    for number in range(1, 101):
        kept.writer.add(at(number), values(number, CHAT, SHOP))
    assert time.monotonic() - began < 50, "the disk hangs for a minute"
    assert kept.writer.total(CHAT, REQUESTS, since=at(0), until=at(100)) is not None
    hangs.set()
    monkeypatch.undo()
    kept.written()
    kept.add(101, 105)
    reader = kept.written()
    assert reader.total(CHAT, REQUESTS, since=at(100), until=at(105)) is not None, "the log continues behind the gap"
    kept.add(250, 251)
    assert kept.written().total(CHAT, REQUESTS, since=at(0), until=at(105)) == sum(
        value(number, REQUESTS) for number in range(1, 106)
    )


@pytest.mark.parametrize("suffix", ["log", "hour"])
def test_a_file_of_a_later_version_is_left_alone(
    kept: Kept, suffix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bateau.store.measure_chunks.FORMAT", 2)
    kept.add(1, 5 if suffix == "log" else 241)
    kept.written()
    kept.writer.close()
    (theirs,) = kept.directory.glob(f"*.{suffix}")
    before = theirs.read_bytes()
    monkeypatch.setattr("bateau.store.measure_chunks.FORMAT", 1)
    writer = kept.again()
    kept.add(300, 305)
    for history in (writer, kept.written()):
        assert history.total(CHAT, REQUESTS, since=at(0), until=at(5)) is None
        assert history.total(CHAT, REQUESTS, since=at(299), until=at(305)) is not None
    assert theirs.read_bytes() == before
    assert "format 2" in caplog.text or "does not know" in caplog.text


def test_a_measure_that_another_version_has_is_skipped(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of the measures are in the files, so their order and number may change."""
    names = [each.name for each in MEASURES]
    other = (*reversed(names), "novel")
    monkeypatch.setattr("bateau.store.measure_chunks.NAMES", other)
    monkeypatch.setattr("bateau.store.measure_chunks.SUMS", (*(True for _ in names), True))
    kept.add(1, 245)
    kept.written()
    kept.writer.close()
    monkeypatch.setattr("bateau.store.measure_chunks.NAMES", tuple(names))
    monkeypatch.setattr("bateau.store.measure_chunks.SUMS", tuple(each.kind == "sum" for each in MEASURES))
    reader = kept.reader()
    for number in (7, 243):
        found = reader.points(CHAT, SERVER_ERRORS, since=at(number - 1), until=at(number), step_s=INTERVAL_S)
        assert [each.value for each in found] == [value(number, SERVER_ERRORS)]


def test_a_damaged_file_is_reported_once_and_only_its_part_is_unknown(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.add(1, 500)
    kept.written()
    kept.writer.close()
    first, second = sorted(kept.directory.glob("*.hour"))
    data = bytearray(first.read_bytes())
    data[-3] ^= 1  # of the last measure
    first.write_bytes(bytes(data))
    second.write_bytes(b"")
    writer = kept.again()
    assert MEASURES[-1] is MEMORY
    for _ in range(2):
        assert writer.total(CHAT, MEMORY, since=at(3), until=at(100)) is None
    assert writer.total(CHAT, REQUESTS, since=at(0), until=at(100)) == sum(
        value(number, REQUESTS) for number in range(1, 101)
    )
    assert writer.total(CHAT, REQUESTS, since=at(250), until=at(300)) is None
    assert writer.total(CHAT, REQUESTS, since=at(480), until=at(500)) is not None
    assert _reports(caplog.messages, first.name) == 1 and _reports(caplog.messages, second.name) <= 1
    assert writer.damaged == 2


def _reports(messages: Sequence[str], name: str) -> int:
    return sum(name in each for each in messages)
