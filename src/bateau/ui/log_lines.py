"""Gather the new lines of all replicas of a service, for one reader.

Called by ui.live.

Invariant: a reader that is slow loses the oldest lines, and hears how many. Held by
tests/ui/test_live.py::test_lines_beyond_the_bound_are_counted.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from bateau.kit.visible import visible
from bateau.ports.logs import LiveLogs

FOLLOW_S: Final = 0.7
LINES_FIRST: Final = 200
LINES_MAX: Final = 2_000  # that wait for the reader
CHARACTERS_MAX: Final = 4_000  # of one line


class LogLines:
    """The lines of one service since they were taken last."""

    def __init__(self, logs: LiveLogs, service: str) -> None:
        self._logs = logs
        self._service = service
        self._lines: deque[tuple[str, str]] = deque(maxlen=LINES_MAX)
        self._lost = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow_new(self) -> None:
        """Follow the logs of replicas that are not followed yet."""
        for each in self._logs.of(self._service):
            if each not in self._tasks:
                self._tasks[each] = asyncio.create_task(self._follow(each), name=f"log of {each} for a page")

    def taken(self) -> tuple[list[tuple[str, str]], int]:
        """Return the new lines, each with its replica, and how many were lost before them."""
        found, lost = list(self._lines), self._lost
        self._lines.clear()
        self._lost = 0
        return found, lost

    async def close(self) -> None:
        """Follow no log any longer."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _follow(self, replica: str) -> None:
        with suppress(OSError):
            async for line in self._logs.follow(replica, lines=LINES_FIRST, every_s=FOLLOW_S):
                self._lost += len(self._lines) == LINES_MAX
                self._lines.append((replica, visible(line[:CHARACTERS_MAX])))
