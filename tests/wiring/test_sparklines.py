"""Sparklines from the history: each minute is read once, and what is not known stays unknown."""

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bateau.domain.measures import INTERVAL_S, Measure, Point
from bateau.domain.sparklines import COUNT, STEP_S, Sparkline
from bateau.domain.workload import Port, ServiceKey
from bateau.store.measure_writer import MeasureWriter
from bateau.testing import ManualClock
from bateau.wiring.sparklines import TOGETHER, TURN_S, SparklineReports
from store.measure_points import START
from wiring.test_sampling import CHAT, SERVICES

AFTER_S = 6.0  # when the points of a minute are there


class CountedHistory(MeasureWriter):
    """A history that notes how many minutes it was asked for."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, lambda: START)
        self.minutes: list[int] = []

    def points(self, service: str, measure: Measure, *, since: float, until: float, step_s: float) -> list[Point]:
        self.minutes.append(round((until - since) / step_s))
        return [*super().points(service, measure, since=since, until=until, step_s=step_s)]

    def fill(self, begin: float, minutes: int, values: Mapping[str, float]) -> None:
        """Add the points of some minutes."""
        for at in range(round(minutes * STEP_S / INTERVAL_S)):
            self.add(begin + INTERVAL_S * (at + 1), {CHAT: values})


@pytest.fixture
def history(tmp_path: Path) -> CountedHistory:
    return CountedHistory(tmp_path)


def reports(history: MeasureWriter, clock: ManualClock) -> SparklineReports:
    return SparklineReports(history, clock, services=lambda: SERVICES)


async def of_chat(made: SparklineReports) -> Sparkline:
    return (await made.now())[CHAT]


async def test_the_last_hour_has_the_rates_of_each_minute(history: CountedHistory) -> None:
    clock = ManualClock(wall=START + 5 * STEP_S + AFTER_S)
    history.fill(START, 3, {"requests": 30.0, "client_errors": 3.0, "server_errors": 12.0})
    history.add(START + 4 * STEP_S, {CHAT: {"requests": 30.0, "client_errors": 3.0}})  # a quarter of the minute
    shown = await of_chat(reports(history, clock))
    assert shown.requests == (None,) * (COUNT - 5) + (2.0, 2.0, 2.0, 2.0, None), "over the seconds that were measured"
    assert shown.errors == (None,) * (COUNT - 5) + (1.0, 1.0, 1.0, None, None), "one of both is not known"
    history.close()


async def test_each_minute_is_read_once(history: CountedHistory) -> None:
    clock, asked = ManualClock(wall=START + STEP_S + AFTER_S), 3 * len(SERVICES)
    history.fill(START, 1, {"requests": 0.0, "client_errors": 0.0, "server_errors": 0.0})
    made = reports(history, clock)
    first = await made.now()
    assert history.minutes == [COUNT] * asked
    clock.advance(STEP_S - 2.0)
    assert await made.now() is first, "the next minute has ended, and its points may still come"
    assert history.minutes == [COUNT] * asked
    history.fill(START + STEP_S, 1, {"requests": 15.0, "client_errors": 0.0, "server_errors": 0.0})
    clock.advance(2.0)
    second = await made.now()
    assert second is not first and second[CHAT].requests[-2:] == (0.0, 1.0)
    assert history.minutes == [COUNT] * asked + [1] * asked
    history.close()


async def test_a_service_without_requests_keeps_its_sparkline(history: CountedHistory) -> None:
    history.fill(START - COUNT * STEP_S, COUNT + 1, {"requests": 0.0, "client_errors": 0.0, "server_errors": 0.0})
    clock = ManualClock(wall=START + AFTER_S)
    made = reports(history, clock)
    first = await of_chat(made)
    clock.advance(STEP_S)
    assert await of_chat(made) is first
    history.close()


async def test_minute_by_minute_gives_the_same_as_the_whole_hour(history: CountedHistory) -> None:
    chance, clock = random.Random(5), ManualClock(wall=START)  # noqa: S311 - no secret
    made = reports(history, clock)
    for at in range(12 * COUNT):
        if chance.random() < 0.8:
            row = {"requests": chance.choice((0.0, 7.0)), "client_errors": 1.0, "server_errors": chance.random()}
            history.add(START + INTERVAL_S * (at + 1), {CHAT: dict(list(row.items())[: chance.choice((1, 3, 3))])})
        # People look for a while, go away for some minutes or hours, and come back; or the clock is set back.
        clock.advance(TURN_S)
        clock.set_wall(START + INTERVAL_S * (at + 1) + AFTER_S)
        if chance.random() < (0.05 if at % 240 > 120 else 0.9):
            assert await made.now() == await reports(history, clock).now()
        if chance.random() < 0.02:
            clock.advance(TURN_S)
            clock.set_wall(clock.wall() - 1000.0)
            assert await made.now() == await reports(history, clock).now()
    history.close()


async def test_a_sparkline_that_is_old_is_not_shown(history: CountedHistory) -> None:
    chat = SERVICES[0]
    services = [replace(chat, key=ServiceKey(f"model/chat-{at:03}")) for at in range(2 * TOGETHER)]
    clock = ManualClock(wall=START + AFTER_S)
    made = SparklineReports(history, clock, services=lambda: services)
    await made.now()
    clock.advance(TURN_S)
    assert len(await made.now()) == 2 * TOGETHER
    clock.advance(STEP_S)
    assert len(await made.now()) == 2 * TOGETHER, "those of a minute ago are shown until their turn"
    clock.advance(3 * STEP_S)
    assert list(await made.now()) == [each.key for each in services[:TOGETHER]]
    history.close()


async def test_many_services_take_turns(history: CountedHistory) -> None:
    chat = SERVICES[0]
    services = [replace(chat, key=ServiceKey(f"model/chat-{at:03}")) for at in range(3 * TOGETHER)]
    keys = [each.key for each in services]

    def fill(minute: int) -> None:
        history.add(START + minute * STEP_S, {each: {"requests": 1.0 + minute} for each in keys})

    fill(0)
    clock = ManualClock(wall=START + AFTER_S)
    made = SparklineReports(history, clock, services=lambda: services)
    first = await made.now()
    assert list(first) == keys[:TOGETHER]
    for _ in range(5):
        assert await made.now() is first, "other pages do not hurry it"
    for turn in (2, 3):
        clock.advance(TURN_S)
        assert list(await made.now()) == keys[: turn * TOGETHER]
    fill(1)
    clock.advance(STEP_S)
    former = {each: shown for each, shown in (await made.now()).items() if each not in keys[:TOGETHER]}
    for _ in range(2):
        clock.advance(TURN_S)
        now = await made.now()
        assert sum(now[each] is not shown for each, shown in former.items()) == TOGETHER
        former = {each: now[each] for each in former}
    latest = (await made.now()).values()
    assert all(each.requests[-2:] == (1.0 / INTERVAL_S, 2.0 / INTERVAL_S) for each in latest)
    history.close()


async def test_services_without_requests_have_none(history: CountedHistory) -> None:
    chat, shop = SERVICES
    services = (chat, replace(shop, ports={"db": Port(protocol="tcp")}))
    made = SparklineReports(history, ManualClock(wall=START), services=lambda: services)
    found = await made.now()
    assert set(found) == {CHAT}
    history.close()
