"""A value that is measured again and again, without making anybody wait for a measurement that takes long.

Called by ui.instance and ui.reports.

Invariant: nobody waits longer than the patience, and nothing is measured twice at the same time. Held by
tests/kit/test_refreshed.py.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")
PATIENCE_S: Final = 0.02


class Refreshed(Generic[T]):
    """The latest value. `measure` is called whenever someone asks and no other call of it runs."""

    def __init__(self, measure: Callable[[], Awaitable[T]], *, patience_s: float = PATIENCE_S) -> None:
        self._measure = measure
        self._patience_s = patience_s
        self._task: asyncio.Task[T] | None = None
        self._known: T | None = None

    async def now(self) -> T | None:
        """Return the value, or the one before while it is measured; None before there is one.

        Raises what the measurement has raised.
        """
        task = self._task = self._task or asyncio.ensure_future(self._run())
        await asyncio.wait({task}, timeout=self._patience_s)
        if task.done():
            self._task = None
            self._known = task.result()
        return self._known

    async def _run(self) -> T:
        return await self._measure()
