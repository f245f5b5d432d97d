"""Periodic work shares its wake-ups."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bateau.kit.ticks import next_tick, tick

PERIODS_S = (0.5, 1.0, 5.0)


@given(st.floats(0, 1e7), st.floats(0, 1), st.sampled_from(PERIODS_S))
def test_work_with_multiples_of_a_period_is_due_together(now: float, later: float, period_s: float) -> None:
    due = next_tick(now, period_s)
    assert now < due <= now + period_s
    before = now + (due - now) * later / 2
    assert all(next_tick(before, each) >= next_tick(before, PERIODS_S[0]) for each in PERIODS_S)
    assert next_tick(due - 0.25, 0.5) == due


async def test_a_tick_waits_and_none_lets_others_run() -> None:
    loop = asyncio.get_running_loop()
    due = next_tick(loop.time(), 0.02)
    await tick(0.02)
    assert loop.time() >= due - 0.001
    others = list[int]()
    loop.call_soon(others.append, 1)
    await tick(0)
    assert others == [1]
