"""The latest events for the dashboard: the same object until there is another, and unknown if they are damaged."""

import logging
from pathlib import Path

import pytest

from bateau.domain.event import Event
from bateau.store.timeline import Timeline
from bateau.wiring.paths import paths
from bateau.wiring.recent_events import EVENTS_MAX, RecentEvents
from bateau.wiring.timeline import timeline_path


def test_the_latest_events_are_read_when_there_is_another(tmp_path: Path) -> None:
    where = paths("test", {"HOME": str(tmp_path)})
    recent = RecentEvents(where)
    assert recent.now() is None, "the instance has never run"
    where.state.mkdir(parents=True)
    for count in (1, EVENTS_MAX + 1):
        timeline = Timeline(timeline_path(where))
        for number in range(count):
            timeline.emit(Event(when_s=number, subject="app/shop", reason="Ready"))
        timeline.close()
        found = recent.now()
        assert found is not None
        assert len(found) == min(count, EVENTS_MAX)
        assert recent.now() is found
    assert found[-1].event.when_s == EVENTS_MAX
    assert [each.event.when_s for each in found] == sorted(each.event.when_s for each in found)


def test_a_damaged_timeline_is_unknown_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = paths("test", {"HOME": str(tmp_path)})
    where.state.mkdir(parents=True)
    timeline_path(where).write_bytes(b"no database" * 1000)
    recent = RecentEvents(where)
    with caplog.at_level(logging.ERROR):
        assert [recent.now() for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1
