"""Keep counters of the ledger for the metrics page, also while no control plane runs.

Called by wiring.accounts.

The sums and the position up to which the ledger was read are in one file, which is replaced in one step. So a control
plane that is killed reads again what it had counted since then, and arrives at the same sums.

Invariant: no request is counted twice or missed, however often a control plane is killed, and no counter that was shown
is lower after that. Held by tests/wiring/test_usage_counters.py.
Refused: sums over the whole ledger at each start. Its files are removed after 90 days, and the counters would fall.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Final

from bateau.domain.usage_counters import Series, UsageCounters, from_trees
from bateau.domain.used import Sum
from bateau.kit.json_value import array_at
from bateau.store.ledger import Ledger
from bateau.store.ledger_reader import LedgerReader, end_of, position_in
from bateau.store.state_file import StateFile
from bateau.wiring.usage import Owners

logger = logging.getLogger(__name__)

_FORMAT: Final = 1
_LINES_MAX: Final = 20_000  # at once; the budgets of keys wait meanwhile
_SAVE_S: Final = 5.0
_FORGET_S: Final = 60.0


class KeptCounters:
    """The counters of one instance."""

    def __init__(self, ledger: Ledger, file: StateFile, owners: Owners) -> None:
        self._ledger = ledger
        self._file = file
        self._owners = owners
        self._counters = UsageCounters()
        self._reader: LedgerReader | None = None
        self._saved_at: float | None = None
        self._saved: object = None
        self._forgot_at: float | None = None
        self._shown: Mapping[Series, Sum] | None = None
        self._lock = threading.Lock()  # `keep` runs in a thread, which a control plane that ends does not wait for

    @property
    def is_known(self) -> bool:
        """Whether `shown` has the sums: not before they contain all that an earlier control plane may have shown."""
        return self._shown is not None

    @property
    def shown(self) -> Mapping[Series, Sum]:
        """The sums, once they contain all that an earlier control plane may have shown; none before."""
        return self._shown or {}

    def keep(self, now: float) -> None:
        """Count the new requests. Raises ControlError and OSError."""
        with self._lock:
            self._keep(now)

    def close(self) -> None:
        """Write the sums, and close the files. Raises ControlError."""
        with self._lock:
            try:
                self._save()
            finally:
                if self._reader:
                    self._reader.close()

    def _keep(self, now: float) -> None:
        reader = self._reader = self._reader or self._opened()
        requests = reader.read(_LINES_MAX)
        owners = self._owners.of(requests)
        for used in requests:
            self._counters.add(used, owners)
        if self._shown is not None or reader.at_end:
            self._shown = self._counters.sums()
        if _is_due(self._saved_at, now, _SAVE_S):
            self._saved_at = now
            self._save()
        if self._counters.is_full and _is_due(self._forgot_at, now, _FORGET_S):
            self._forgot_at = now
            self._forget(owners)

    def _save(self) -> None:
        if self._reader and self._reader.position != self._saved:
            self._write(self._counters)

    def _forget(self, owners: Mapping[str, str]) -> None:
        """Make room in a full table. It is written first, because the same requests may be counted again."""
        fewer = UsageCounters(self._counters.sums())
        fewer.forget(owners)
        self._write(fewer)
        self._counters = fewer
        self._shown = fewer.sums()

    def _write(self, counters: UsageCounters) -> None:
        if self._reader:
            position = self._reader.position
            self._file.save({"usage_format": _FORMAT, "position": position, "series": counters.trees()})
            self._saved = position

    def _opened(self) -> LedgerReader:
        tree = self._file.load()
        if tree.get("usage_format") != _FORMAT:
            if tree:
                logger.error("the counters of usage are in a format that this version does not know, and begin again")
            return LedgerReader(self._ledger, end_of(self._ledger))
        self._counters = from_trees(array_at(tree, "series"))
        return LedgerReader(self._ledger, position_in(tree))


def _is_due(last: float | None, now: float, every_s: float) -> bool:
    """Whether something was not done for so long; a clock that was set back does not delay it."""
    return last is None or not 0 <= now - last < every_s
