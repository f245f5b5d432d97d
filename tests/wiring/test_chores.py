"""Chores beside the loop: a failure is reported once, and the next try comes."""

import asyncio
import logging

import pytest

from bateau.domain.errors import ControlError
from bateau.wiring.chores import repeated


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ControlError("no"), RuntimeError("a bug")])
async def test_an_error_is_reported_once_and_the_chore_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    done = 0
    enough = asyncio.Event()

    async def chore() -> None:
        nonlocal done
        done += 1
        if done == 8:
            enough.set()
        if done < 4 or done == 6:
            raise error

    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(repeated(chore, every_s=0, wrong="it does not work"))
        await enough.wait()
        task.cancel()
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert all(record.getMessage().startswith("it does not work") for record in caplog.records)
