"""Make a numbered snapshot of the status whenever it changes, and hand it to everyone who waits for the next one.

Called by api.server, api.status_routes, control.loop, ui.instance and wiring.cluster_view.

Invariant: each number belongs to exactly one content, and an unchanged status gets no new number. Held by
tests/control/test_snapshots.py.
"""

import asyncio
from dataclasses import dataclass, replace

from bateau.domain.status import Status


@dataclass
class Snapshots:
    """The latest status, and a way to wait for a newer one."""

    latest: Status | None = None
    ended: bool = False

    def __post_init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def take(self, status: Status) -> Status:
        """Store a status if it differs from the latest one. Return the latest."""
        before = self.latest
        if before is not None and replace(status, number=before.number) == before:
            return before
        self.latest = replace(status, number=1 if before is None else before.number + 1)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        return self.latest

    def end(self) -> None:
        """End every wait: no snapshot follows."""
        self.ended = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def after(self, number: float) -> Status:
        """Return the latest snapshot as soon as its number differs from `number`.

        A number from another control plane is answered at once, because its reader has to start over. Raises
        TimeoutError if no snapshot follows.
        """
        while self.latest is None or self.latest.number == number:
            if self.ended:
                raise TimeoutError
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)
        return self.latest
