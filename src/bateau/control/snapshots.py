"""Numbered snapshots of the status: made when something changed, and handed to whoever waits for the next one.

Called by api.server, api.status_routes and control.loop.

Invariant: a number stands for one content: the same number is never shown with two, and an unchanged status gets no new
number. Held by tests/control/test_snapshots.py.
"""

import asyncio
from dataclasses import dataclass, replace

from bateau.domain.status import Status


@dataclass
class Snapshots:
    """The latest status, and a way to wait for a newer one."""

    latest: Status | None = None

    def __post_init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def take(self, status: Status) -> Status:
        """Keep a status if it differs from the latest; return the latest."""
        before = self.latest
        if before is not None and replace(status, number=before.number) == before:
            return before
        self.latest = replace(status, number=1 if before is None else before.number + 1)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        return self.latest

    async def after(self, number: float) -> Status:
        """Return the latest snapshot as soon as its number is not `number`.

        A number that another control plane gave out is answered at once: its reader has to begin anew.
        """
        while self.latest is None or self.latest.number == number:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)
        return self.latest
