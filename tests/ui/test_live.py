"""The stream of a page: changed parts, signs of life, lines of a log, and its end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bateau.domain.figures import Figures, ServiceFigures
from bateau.ui import dashboard as dashboard_module
from bateau.ui import live, log_lines
from bateau.ui.page import Screen, View
from bateau.ui.sessions import IDLE_S
from ui.served import Served

Events = AsyncIterator[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PAUSE_S", 0.01), ("LOOK_S", 0.02), ("LOG_LOOK_S", 0.02), ("SIGN_OF_LIFE_S", 0.05)):
        monkeypatch.setattr(live, name, value)


async def the_next(events: Events, wanted: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        async for name, data in events:
            if name == wanted:
                return data
    raise AssertionError(f"the stream has ended without {wanted}")


async def test_a_stream_begins_with_all_parts_and_continues_with_those_that_changed(dashboard: Served) -> None:
    await dashboard.sign_in()
    async with dashboard.stream("/") as events:
        first = await the_next(events, "parts")
        assert set(first["parts"]) == {"summary", "alerts", "problems", "services", "graph"}
        dashboard.meter.figures = Figures(
            number=1, services={"app/shop": ServiceFigures(seconds=2, requests_per_s=41.6)}
        )
        second = await the_next(events, "parts")
        (news,) = second["rows"]
        assert (second["parts"], news["of"], news["order"]) == ({}, "services-rows", None)
        assert list(news["rows"]) == ["row-app-shop"]
        assert ">42<" in news["rows"]["row-app-shop"]


async def test_a_page_gets_nothing_that_it_has(dashboard: Served) -> None:
    await dashboard.sign_in()
    page = (await dashboard.get("/ui/")).text
    have = page.partition('data-have="')[2].partition('"')[0]
    assert have
    async with dashboard.stream(f"/&have={have}") as events:
        assert (await anext(events))[0] == "alive"
        dashboard.meter.figures = Figures(number=1, services={"app/shop": ServiceFigures(requests_per_s=41.6)})
        news = await the_next(events, "parts")
        assert (news["parts"], [list(each["rows"]) for each in news["rows"]]) == ({}, [["row-app-shop"]])
        assert news["have"] != have
    async with dashboard.stream(f"/&have={have}") as events:
        news = await the_next(events, "parts")
        assert [list(each["rows"]) for each in news["rows"]] == [["row-app-shop"]], "what came meanwhile"
    async with dashboard.stream("/&have=another") as events:
        assert set((await the_next(events, "parts"))["parts"]) == {"summary", "alerts", "problems", "services", "graph"}


async def test_a_change_of_a_service_is_sent_with_the_number_of_its_snapshot(dashboard: Served) -> None:
    await dashboard.sign_in()
    async with dashboard.stream("/") as events:
        before = (await the_next(events, "parts"))["number"]
        dashboard.world.keeper.crash("app.shop.0")
        await dashboard.world.until(lambda: dashboard.world.service("app/shop").state != "Ready")
        after = await the_next(events, "parts")
        assert after["number"] > before
        assert [list(news["rows"]) for news in after["rows"]] == [["row-app-shop"]]


async def test_while_nothing_changes_only_a_sign_of_life_is_sent(
    dashboard: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    page = dashboard_module.PAGES[0]
    make = page.make

    def counted(view: View, parts: Mapping[str, str]) -> Screen | None:
        made.append(view)
        return make(view, parts)

    monkeypatch.setattr(dashboard.dashboard, "_pages", (replace(page, make=counted),))
    await dashboard.sign_in()
    async with dashboard.stream("/") as events, dashboard.stream("/") as others:
        await the_next(events, "parts")
        await the_next(others, "parts")
        assert [(await anext(events))[0] for _ in range(4)] == ["alive"] * 4
        assert [(await anext(others))[0] for _ in range(4)] == ["alive"] * 4
    assert len(made) == 1, "both readers got the same text"


async def test_a_stream_ends_with_its_session(dashboard: Served) -> None:
    await dashboard.sign_in()
    async with dashboard.stream("/") as events:
        await the_next(events, "parts")
        dashboard.now += IDLE_S
        await the_next(events, "signed-out")
        assert [each async for each in events] == []


async def test_the_page_of_a_service_that_was_removed_is_gone(dashboard: Served) -> None:
    await dashboard.sign_in()
    async with dashboard.stream("/services/app/shop") as events:
        await the_next(events, "parts")
        dashboard.world.texts.remove("shop")
        dashboard.world.control.look_again()
        for _ in range(6):
            await dashboard.world.pass_time(60)
        assert [each.service for each in dashboard.world.status.services] == ["model/chat"]
        await the_next(events, "gone")


async def test_the_log_of_every_replica_comes_as_lines_of_text(dashboard: Served) -> None:
    await dashboard.sign_in()
    dashboard.logs.lines = {"app.shop.0": ["first", "\x1b[31m<b>red</b>"], "app.shop-2.0": ["another service"]}
    async with dashboard.stream("/services/app/shop") as events:
        found = await the_next(events, "lines")
        assert found["lines"] == [["app.shop.0", "first"], ["app.shop.0", "\\x1b[31m<b>red</b>"]]
        dashboard.logs.lines["app.shop.1"] = ["of a new replica"]
        assert (await the_next(events, "lines"))["lines"] == [["app.shop.1", "of a new replica"]]


async def test_lines_beyond_the_bound_are_counted(dashboard: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "LINES_MAX", 3)
    monkeypatch.setattr(log_lines, "LINES_FIRST", 10)
    dashboard.logs.lines = {"app.shop.0": [str(number) for number in range(8)]}
    lines = log_lines.LogLines(dashboard.logs, "app/shop")
    lines.follow_new()
    await asyncio.sleep(0.05)
    assert lines.taken() == ([("app.shop.0", "5"), ("app.shop.0", "6"), ("app.shop.0", "7")], 5)
    await lines.close()


async def test_there_are_not_more_streams_than_the_bound(dashboard: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_module, "STREAMS_MAX", 1)
    await dashboard.sign_in()
    async with dashboard.stream("/") as events:
        await the_next(events, "parts")
        assert (await dashboard.get("/ui/live?path=/")).status == 503


async def test_a_control_plane_that_ends_ends_its_streams(dashboard: Served) -> None:
    await dashboard.sign_in()
    async with dashboard.stream("/") as events:
        await the_next(events, "parts")
        dashboard.world.control.snapshots.end()
        async with asyncio.timeout(5):
            assert [name async for name, _ in events if name != "alive"] == []
