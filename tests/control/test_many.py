"""The cost of a turn does not grow with the square of the services."""

import asyncio
from typing import Any

import pytest

from bateau.control.endpoints import endpoints
from control.world import app, model, world


@pytest.mark.parametrize("count", [2, 20])
async def test_a_turn_asks_the_keeper_as_often_with_many_services_as_with_few(count: int) -> None:
    async with world() as w:
        for number in range(count):
            w.texts.write(f"a{number}", app(f"a{number}"))
        await w.until(lambda: len(w.status.services) == count)
        await w.until(lambda: w.status.settled)
        asked: list[int] = []
        observe = w.keeper.observe

        def counted() -> object:
            asked.append(1)
            return observe()

        w.keeper.observe = counted  # type: ignore[method-assign, assignment]
        turns = w.control.counts.turns
        await w.turn()
        assert len(asked) <= 6 * (w.control.counts.turns - turns)


async def test_a_turn_is_followed_by_a_rest_of_its_own_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 8: with 1,000 apps, turns followed one another while a save was applied, and probes waited for seconds."""
    sleep, rests = asyncio.sleep, set[float]()

    async def rest(delay: float) -> None:
        rests.add(delay)
        await sleep(0)

    async with world(shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        observe = w.keeper.observe

        def slow() -> object:
            w.clock.advance(0.25)
            return observe()

        monkeypatch.setattr(asyncio, "sleep", rest)
        w.keeper.observe = slow  # type: ignore[method-assign, assignment]
        await w.turns()
        monkeypatch.undo()
    assert any(0.25 <= delay <= 1.0 for delay in rests)
    assert max(rests) <= 1.0


async def test_an_idle_turn_makes_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 8: with 1,000 apps, an idle turn took 57 ms, because the traffic was made from the same state each time."""
    made: list[object] = []

    def counted(*given: Any, **more: Any) -> object:
        made.append(given)
        return endpoints(*given, **more)

    monkeypatch.setattr("bateau.control.current_traffic.endpoints", counted)
    async with world(shop=app(), chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        await w.turn()
        before, seen = len(made), w.control.observed
        for _ in range(3):
            await w.turn()
        assert len(made) == before
        assert w.control.observed is seen
        w.keeper.crash("app.shop.0")
        await w.until(lambda: not w.status.rolled_out)
        assert len(made) > before
