"""A value that is measured: nobody waits for long, nothing is measured twice at once, and errors reach who asks."""

import asyncio

import pytest

from bateau.kit.refreshed import Refreshed


async def test_a_quick_measurement_is_there_at_once() -> None:
    numbers = iter(range(9))

    async def measure() -> int:
        return next(numbers)

    value = Refreshed(measure)
    assert [await value.now() for _ in range(3)] == [0, 1, 2]


async def test_nobody_waits_for_a_slow_measurement_and_there_is_one_at_a_time() -> None:
    gate, calls = asyncio.Event(), list[int]()

    async def measure() -> int:
        calls.append(1)
        await gate.wait()
        return len(calls)

    value = Refreshed(measure, patience_s=0.01)
    assert await asyncio.gather(*(value.now() for _ in range(20))) == [None] * 20
    assert len(calls) == 1
    gate.set()
    await asyncio.sleep(0)
    assert await value.now() == 1
    gate.clear()
    assert await value.now() == 1, "the one before, while it is measured again"
    assert len(calls) == 2


async def test_an_error_reaches_who_asks_and_the_next_one_measures_again() -> None:
    results: list[Exception | int] = [ZeroDivisionError("a bug"), 7]

    async def measure() -> int:
        found = results.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    value = Refreshed(measure)
    with pytest.raises(ZeroDivisionError):
        await value.now()
    assert await value.now() == 7
