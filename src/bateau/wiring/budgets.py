"""Follow the ledger, and have the gateway refuse keys whose tokens are used up.

Called by wiring.local.

Invariant: what a key has used before a restart counts after it. Held by
tests/local/test_budgets.py::test_a_key_with_used_up_tokens_is_refused_also_after_a_restart.
"""

from bateau.control.budgets import Spending, first_of_month
from bateau.domain.api_key import ApiKey
from bateau.store.ledger import Ledger, Tail
from bateau.wiring.keys import Keys

_Refused = dict[str, dict[str, float]]


class Budgets:
    """The tokens of one instance's keys."""

    def __init__(self, keys: Keys, ledger: Ledger) -> None:
        self._keys = keys
        self._ledger = ledger
        self._stamp: float | None = None
        self._limited: tuple[ApiKey, ...] = ()
        self._spending: Spending | None = None
        self._tail: Tail | None = None
        self._refused: _Refused | None = None

    def keep(self, now: float) -> None:
        """Charge what is new in the ledger, and refuse or admit keys. Raises ControlError and OSError."""
        stamp = self._keys.stamp
        if stamp != self._stamp:
            keyring = self._keys.load()
            self._limited = tuple(key for key in keyring.by_name.values() if key.limits_tokens and keyring.required)
            self._stamp = stamp
            self._refused = None
        if not self._limited:
            self.close()
            self._write({})
            return
        if self._spending is None or self._tail is None:
            # All of the file that is written to comes by the tail.
            spending = Spending()
            for used in self._ledger.rotated(since=first_of_month(now)):
                spending.add(used)
            self._spending, self._tail = spending, Tail(self._ledger)
        for used in self._tail.new():
            self._spending.add(used)
        refused = self._spending.refused(self._limited, now)
        self._write({period: dict(keys) for period, keys in refused.items()})

    def close(self) -> None:
        """Forget the ledger; it is read again if a key limits its tokens."""
        if self._tail:
            self._tail.close()
        self._spending = self._tail = None

    def _write(self, refused: _Refused) -> None:
        if refused != self._refused:
            self._keys.refuse(refused)
            self._refused = refused
