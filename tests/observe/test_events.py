"""The sinks of events: what control reports reaches the log and the counters."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bateau.control import happenings
from bateau.domain.event import Event
from bateau.domain.replica import Replica
from bateau.domain.timeline import service_of
from bateau.observe.events import CountedEvents, LoggedEvents
from control.world import app, world

EVENT = Event(when_s=1.0, subject="app/shop", reason="Degraded", says="1 of 2 replicas is ready", warning=True)


def test_the_log_has_one_line_per_event_and_warnings_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bateau.observe.events")
    LoggedEvents().emit(EVENT)
    LoggedEvents().emit(replace(EVENT, reason="Ready", says="", warning=False))
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "app/shop Degraded: 1 of 2 replicas is ready"),
        ("INFO", "app/shop Ready"),
    ]


def test_events_are_counted_by_reason() -> None:
    counted = CountedEvents()
    for event in (EVENT, EVENT, replace(EVENT, reason="Ready", warning=False)):
        counted.emit(event)
    assert counted.counts() == [("Degraded", True, 2), ("Ready", False, 1)]


async def test_a_rollout_reports_each_step_once_to_every_sink() -> None:
    async with world(shop=app()) as w:
        await w.until(lambda: w.status.settled)
        reasons = [event.reason for event in w.events if event.subject == "app.shop.0"]
        assert reasons == ["Ready"]  # the fake keeper knows no time between start and readiness
        before = list(w.events)
        await w.turn()
        assert w.events == before


async def test_the_last_event_of_a_replica_belongs_to_its_service() -> None:
    async with world(shop=app(replicas=2)) as w:
        await w.until(lambda: w.status.settled)
        w.texts.write("shop", app(replicas=1))
        await w.until(lambda: w.draining)
        await w.pass_time(300.0)
        await w.until(lambda: any(event.reason == "Stopped" for event in w.events))
        (ended,) = [event for event in w.events if event.reason == "Stopped"]
        assert (ended.subject, service_of(ended)) == ("app.shop.1", "app/shop")


async def test_a_bug_in_the_events_of_a_service_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(before: Replica | None, after: Replica, when_s: float) -> Iterator[Event]:
        del before
        if after.service == "app/blog":
            raise RuntimeError("a bug")
        yield Event(when_s=when_s, subject=after.id, reason=str(after.state))

    monkeypatch.setattr(happenings, "_replica", odd)
    async with world(blog=app("blog"), shop=app()) as w:
        await w.until(lambda: w.status.settled)
        assert "Ready" in [event.reason for event in w.events if event.subject == "app.shop.0"]
    assert "the events of app/blog are lost, because of a bug" in caplog.text


class _Broken:
    def emit(self, event: Event) -> None:
        raise RuntimeError(event.reason)


async def test_a_sink_with_a_bug_keeps_no_other_sink_from_its_events(caplog: pytest.LogCaptureFixture) -> None:
    async with world(shop=app()) as w:
        w.sinks.insert(0, _Broken())
        w.texts.write("blog", app("blog"))
        await w.until(lambda: w.status.settled and len(w.status.services) == 2)
        assert "Ready" in [event.reason for event in w.events if event.subject == "app.blog.0"]
    assert "_Broken" in caplog.text
