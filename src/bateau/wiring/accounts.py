"""What a control plane does with the ledger: rotate it, charge keys, count usage, and send spans.

Called by wiring.local and wiring.metrics.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from bateau.domain.errors import ControlError
from bateau.store.ledger import Ledger
from bateau.store.state_file import StateFile
from bateau.wiring.budgets import Budgets
from bateau.wiring.keys import Keys
from bateau.wiring.paths import Paths
from bateau.wiring.spans import SpanSender
from bateau.wiring.usage import Owners
from bateau.wiring.usage_counters import KeptCounters

_ROTATION_S: Final = 60.0


class Accounts:
    """The readers of one instance's ledger.

    `spans` is None where none are sent.
    """

    def __init__(
        self,
        where: Paths,
        ledger: Ledger,
        keys: Keys,
        budgets: Budgets,
        spans: SpanSender | None = None,
    ) -> None:
        self.ledger = ledger
        self.spans = spans
        self.counters = KeptCounters(ledger, StateFile(where.state / "usage.json"), Owners(keys))
        self._budgets = budgets
        self._rotated_at: float | None = None

    async def rotate(self, reopen: Callable[[], Awaitable[bool]], *, now: float) -> None:
        """Rotate the ledger if that is due. Raises OSError."""
        if self._rotated_at is None or not 0 <= now - self._rotated_at < _ROTATION_S:
            self._rotated_at = now
            await self.ledger.keep(reopen, now=now)

    def keep(self, now: float) -> None:
        """Charge and count the new requests. Raises ControlError and OSError."""
        try:
            self._budgets.keep(now)
        finally:
            self.counters.keep(now)

    async def close(self) -> None:
        """Send the last spans, write the counters, and close the files."""
        self._budgets.close()
        if self.spans:
            await self.spans.send_last()
            self.spans.close()
        with suppress(ControlError):  # the next control plane counts the rest again
            self.counters.close()
