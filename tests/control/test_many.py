"""The cost of a turn does not grow with the square of the services."""

import pytest

from control.world import app, world


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
