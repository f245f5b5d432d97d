"""The timeline: what it keeps, in what order, for how long, and what it survives."""

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bateau.domain.errors import ControlError
from bateau.domain.event import Event
from bateau.domain.timeline import Entry
from bateau.store.timeline import STEPS, WAITING_MAX, Timeline, TimelineReader

WRITER = Path(__file__).with_name("timeline_writer.py")


def event(number: int, subject: str = "app/shop", **fields: str) -> Event:
    return Event(when_s=float(number), subject=subject, reason="Ready", says=f"event {number}", fields=fields)


def read(
    path: Path, *, service: str | None = None, since: float = 0.0, after: int = 0, limit: int = 100
) -> list[Entry]:
    reader = TimelineReader(path)
    try:
        return reader.entries(service=service, since=since, after=after, limit=limit)
    finally:
        reader.close()


def says(entries: list[Entry]) -> list[str]:
    return [entry.event.says for entry in entries]


def test_what_was_emitted_is_read_back_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path)
    first = Event(
        when_s=1.5, subject="model.chat.0", reason="BackOff", says='"é"', warning=True, fields={"service": "model/chat"}
    )
    timeline.emit(first)
    timeline.emit(event(2))
    timeline.close()
    found = read(path)
    assert [entry.event for entry in found] == [first, event(2)]
    assert found[0].number < found[1].number
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_service_is_found_by_its_key_and_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path)
    timeline.emit(event(1, "app/shop"))
    timeline.emit(event(2, "app.shop.0", service="app/shop"))
    timeline.emit(event(3, "app/workshop"))
    timeline.emit(event(4, "desired"))
    timeline.close()
    assert says(read(path, service="shop")) == says(read(path, service="app/shop")) == ["event 1", "event 2"]
    assert says(read(path)) == [f"event {number}" for number in range(1, 5)]
    assert says(read(path, since=3.0)) == ["event 3", "event 4"]
    assert says(read(path, limit=2)) == ["event 3", "event 4"]
    assert says(read(path, after=read(path)[1].number)) == ["event 3", "event 4"]


def test_the_oldest_events_make_room(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path, events_max=10)
    for number in range(25):
        timeline.emit(event(number))
    timeline.close()
    assert says(read(path)) == [f"event {number}" for number in range(15, 25)]


def test_a_file_that_is_too_large_loses_its_oldest_events(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path, bytes_max=500_000)
    for number in range(2_000):
        timeline.emit(Event(when_s=float(number), subject="s", reason="r", says="x" * 2_000))
        if number % 100 == 0:
            until(lambda: timeline.waiting == 0)
    timeline.close()
    kept = [entry.event.when_s for entry in read(path, limit=10_000)]
    assert kept == list(map(float, range(int(kept[0]), 2_000)))
    assert 50 < len(kept) < 300
    assert path.stat().st_size < 2_000_000


def test_events_that_wait_for_a_disk_that_hangs_are_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")  # as a disk that hangs: the writer waits
    for number in range(WAITING_MAX + 2_000):
        timeline.emit(event(number))
    assert timeline.lost > 0
    assert timeline.waiting <= WAITING_MAX
    other.rollback()
    other.close()
    timeline.close()
    assert f"{timeline.lost} events are not in the timeline" in caplog.text


def test_the_commits_and_traces_of_a_service_bring_the_events_without_a_service(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path)
    timeline.emit(event(1, "acme", commit="aa"))
    timeline.emit(event(2, "scan", trace="bb"))
    timeline.emit(event(3, "app/shop", commit="aa"))
    timeline.emit(event(4, "app/shop", trace="bb"))
    timeline.emit(event(5, "app/cart", commit="aa"))
    timeline.emit(event(6, "acme", commit="cc"))
    timeline.emit(event(7, "build", service="shop"))
    timeline.close()
    expected = [f"event {number}" for number in (1, 2, 3, 4, 7)]
    assert says(read(path, service="shop")) == says(read(path, service="app/shop")) == expected
    assert says(read(path, service="cart")) == ["event 1", "event 5"]
    reader = TimelineReader(path)
    assert reader.services() == ["app/cart", "app/shop", "shop"]
    reader.close()


def test_an_event_of_another_system_is_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path)
    for uid in ("ci 1", "ci 2", "ci 1", None, None):
        timeline.emit(event(1), uid=uid)
    timeline.close()
    assert len(read(path)) == 4
    again = Timeline(path)
    again.emit(event(1), uid="ci 2")
    again.close()
    assert len(read(path)) == 4


def test_endless_texts_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path)
    fields = {f"field-{number}": "x" * 10_000 for number in range(100)}
    timeline.emit(Event(when_s=1.0, subject="s" * 10_000, reason="r", says="y" * 10_000, fields=fields))
    timeline.close()
    (entry,) = read(path)
    assert (len(entry.event.says), len(entry.event.subject), len(entry.event.fields)) == (2000, 2000, 32)


def test_events_survive_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    with subprocess.Popen([sys.executable, str(WRITER), str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        kept = 0
        deadline = time.monotonic() + 30
        while kept < 20 and time.monotonic() < deadline:
            kept = int(writer.stdout.readline())
        writer.kill()
        rest = writer.stdout.read().split()
    kept = max([kept, *map(int, rest[:-1])])
    assert kept >= 20
    assert len(read(path, limit=100_000)) >= kept
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_nobody_waits_for_a_file_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path)
    other = sqlite3.connect(path)
    other.execute("DROP TABLE events")
    other.commit()
    began = time.monotonic()
    with caplog.at_level(logging.ERROR):
        for number in range(1000):
            timeline.emit(event(number))
        assert time.monotonic() - began < 1.0
        until(lambda: timeline.lost == 1000)
    assert caplog.text.count("the timeline cannot be written") == 1, "it is told once"
    other.execute(STEPS[0][0])
    other.commit()
    other.close()
    timeline.emit(event(7))
    timeline.close()
    assert says(read(path)) == ["event 7"]


def test_a_reader_sees_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    timeline = Timeline(path)
    reader = TimelineReader(path)
    assert reader.has_changed(), "nothing was read yet"
    assert not reader.has_changed()
    threading.Timer(0.05, lambda: timeline.emit(event(1))).start()
    until(reader.has_changed)
    assert says(reader.entries(service=None, since=0.0, limit=10)) == ["event 1"]
    reader.close()
    timeline.close()


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ControlError, match="cannot be opened"):
        Timeline(path)
    assert path.read_bytes().startswith(b"not a database")


def test_a_file_that_breaks_while_it_is_read_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    Timeline(path).close()
    reader = TimelineReader(path)
    other = sqlite3.connect(path)
    other.execute("DROP TABLE events")
    other.commit()
    other.close()
    with pytest.raises(ControlError, match="cannot be read") as raised:
        reader.services()
    assert raised.value.hint
    assert "the control plane begins a new one" in raised.value.hint
    reader.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
