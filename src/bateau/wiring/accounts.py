"""What a control plane does with the ledger: rotate it, charge keys, count usage, watch affinity, and send spans.

Called by wiring.local and wiring.metrics.

Invariant: a request in the ledger, a change of a key or a limit, and the end of a refusal take effect at the next look.
Held by tests/wiring/test_accounts.py.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bateau.control.loop import Control
from bateau.ports.clock import Clock
from bateau.store.ledger import Ledger
from bateau.store.state_file import StateFile
from bateau.wiring.affinity import AffinityWatch
from bateau.wiring.budgets import Budgets
from bateau.wiring.feed import Consumer, Feed
from bateau.wiring.keys import Keys
from bateau.wiring.paths import Paths
from bateau.wiring.spans import SpanSender
from bateau.wiring.usage import Owners
from bateau.wiring.usage_counters import KeptCounters

_ROTATION_S: Final = 60.0
_CALM_S: Final = 5.0  # so long, nothing is read while nothing has changed


class Accounts:
    """The ledger of one instance, and everything that acts on it. `spans` is None where none are sent."""

    def __init__(
        self,
        where: Paths,
        ledger: Ledger,
        keys: Keys,
        *,
        control: Control,
        budgets: Budgets,
        clock: Clock,
        spans: SpanSender | None = None,
    ) -> None:
        self.counters = KeptCounters(ledger, StateFile(where.state / "usage.json"), Owners(keys))
        self.spans = spans
        self._ledger = ledger
        self._keys = keys
        self._control = control
        self._budgets = budgets
        self._turned_at: float | None = None
        self._turned_for: object = None
        self._affinity = AffinityWatch(ledger, control, StateFile(where.state / "affinity.json"))
        self._clock = clock
        consumers: list[Consumer] = [budgets, self.counters, self._affinity]
        self._feed = Feed(ledger, [*consumers, *([spans] if spans else [])])
        self._rotated_at: float | None = None

    async def keep(self, reopen: Callable[[], Awaitable[bool]]) -> None:
        """Rotate the ledger if that is due, and act on all that is new in it. Raises OSError.

        Both in one task, so that no file is renamed while it is read. `reopen` has the writers open their file again.
        """
        try:
            await self._rotate(reopen)
        finally:
            state = self._state()
            if self._is_calm(state):
                self._affinity.decide(self._clock.wall())
            else:
                while await self._read():
                    pass
                self._turned_at, self._turned_for = self._clock.monotonic(), state

    async def close(self) -> None:
        """Send the last spans, write the counters, and close the files."""
        if self.spans:
            await self.spans.send_last(self._read)
        await asyncio.to_thread(self._feed.close)

    async def _rotate(self, reopen: Callable[[], Awaitable[bool]]) -> None:
        now = self._clock.wall()
        if self._rotated_at is None or not 0 <= now - self._rotated_at < _ROTATION_S:
            self._rotated_at = now
            await self._ledger.keep(reopen, now=now)

    def _state(self) -> object:
        """Return everything that a turn acts on, but for the time."""
        return self._ledger.stamp(), self._keys.stamp, self._control.desired.release, self._control.affinity.kept()

    def _is_calm(self, state: object) -> bool:
        """Whether a turn would do nothing: it takes other threads, and so costs more than to look."""
        waits = self._budgets.refuses or (self.spans is not None and self.spans.waiting) or not self._feed.is_sound
        last = self._turned_at
        return not waits and last is not None and self._clock.monotonic() - last < _CALM_S and state == self._turned_for

    async def _read(self) -> bool:
        """Have the next requests taken; return whether there are more."""
        now = self._clock.wall()
        more = await asyncio.to_thread(self._feed.turn, now)
        self._affinity.decide(now)
        return more
