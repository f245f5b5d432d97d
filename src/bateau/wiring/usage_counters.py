"""Keep counters of the ledger for the metrics page, also while no control plane runs.

Called by wiring.accounts.

The sums and the position up to which the ledger was read are in one file, which is replaced in one step. So a control
plane that is killed reads again what it had counted since then, and arrives at the same sums.

Invariant: no request is counted twice or missed, however often a control plane is killed, and no counter that was shown
is lower after that. Held by tests/wiring/test_usage_counters.py.
Refused: sums over the whole ledger at each start. Its files are removed after 90 days, and the counters would fall.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from bateau.domain.usage_counters import Series, UsageCounters, from_trees
from bateau.domain.used import Sum, Used
from bateau.kit.json_value import array_at
from bateau.store.ledger import Ledger
from bateau.store.ledger_reader import Position, end_of, position_in
from bateau.store.state_file import StateFile
from bateau.wiring.usage import Owners

logger = logging.getLogger(__name__)

_FORMAT: Final = 1
_SAVE_S: Final = 5.0
_FORGET_S: Final = 60.0


class KeptCounters:
    """The counters of one instance. A consumer of the ledger."""

    wrong: str = "usage is not counted for the metrics at the moment"
    lines_max: int = 20_000

    def __init__(self, ledger: Ledger, file: StateFile, owners: Owners) -> None:
        self._ledger = ledger
        self._file = file
        self._owners = owners
        self._counters = UsageCounters()
        self._position: Position | None = None
        self._saved_at: float | None = None
        self._saved: object = None
        self._forgot_at: float | None = None
        self._shown: Mapping[Series, Sum] | None = None

    @property
    def is_known(self) -> bool:
        """Whether `shown` has the sums: not before they contain all that an earlier control plane may have shown."""
        return self._shown is not None

    @property
    def shown(self) -> Mapping[Series, Sum]:
        """The sums, once they contain all that an earlier control plane may have shown; none before."""
        return self._shown or {}

    def begin(self, now: float) -> Position:
        """Return the position up to which everything is counted. Raises OSError."""
        del now
        if self._position is None:
            self._position = self._opened()
        return self._position

    def take(self, requests: Sequence[Used], position: Position) -> None:
        """Count requests."""
        self._position = position
        owners = self._owners.of(requests)
        for used in requests:
            self._counters.add(used, owners)

    def settle(self, now: float, *, at_end: bool) -> None:
        """Show the sums, and write them from time to time. Raises ControlError."""
        if self._shown is not None or at_end:
            self._shown = self._counters.sums()
        if _is_due(self._saved_at, now, _SAVE_S):
            self._saved_at = now
            self._save()
        if self._counters.is_full and _is_due(self._forgot_at, now, _FORGET_S):
            self._forgot_at = now
            self._forget(self._owners.of(()))

    def close(self) -> None:
        """Write the sums. Raises ControlError."""
        self._save()

    def _save(self) -> None:
        if self._position is not None and self._position != self._saved:
            self._write(self._counters)

    def _forget(self, owners: Mapping[str, str]) -> None:
        """Make room in a full table. It is written first, because the same requests may be counted again."""
        fewer = UsageCounters(self._counters.sums())
        fewer.forget(owners)
        self._write(fewer)
        self._counters = fewer
        self._shown = fewer.sums()

    def _write(self, counters: UsageCounters) -> None:
        self._file.save({"usage_format": _FORMAT, "position": self._position, "series": counters.trees()})
        self._saved = self._position

    def _opened(self) -> Position:
        tree = self._file.load()
        if tree.get("usage_format") != _FORMAT:
            if tree:
                logger.error("the counters of usage are in a format that this version does not know, and begin again")
            return end_of(self._ledger)
        self._counters = from_trees(array_at(tree, "series"))
        if (position := position_in(tree)) is None:
            logger.error("the position of the counters of usage is damaged: requests since the last one are missing")
            return end_of(self._ledger)
        return position


def _is_due(last: float | None, now: float, every_s: float) -> bool:
    """Whether something was not done for so long; a clock that was set back does not delay it."""
    return last is None or not 0 <= now - last < every_s
