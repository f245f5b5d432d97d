"""Follow the ledger, and have the gateway refuse keys, and requests for models, whose tokens are used up.

Called by wiring.accounts.

Invariant: what a key has used before a restart counts after it. Held by
tests/local/test_budgets.py::test_a_key_with_used_up_tokens_is_refused_also_after_a_restart.
"""

from collections.abc import Callable, Mapping

from bateau.control.budgets import Spending, first_of_month
from bateau.domain.api_key import ApiKey
from bateau.domain.used import Refusal
from bateau.domain.workload import Limits
from bateau.store.ledger import Ledger, Tail
from bateau.wiring.keys import Keys

_Refused = dict[str, dict[str, float]]


class Budgets:
    """The tokens of one instance's keys and models. `limits` returns the limits of each model, by name."""

    def __init__(self, keys: Keys, ledger: Ledger, limits: Callable[[], Mapping[str, Limits]]) -> None:
        self._keys = keys
        self._limits = limits
        self._ledger = ledger
        self._stamp: float | None = None
        self._limited: tuple[ApiKey, ...] = ()
        self._spending: Spending | None = None
        self._tail: Tail | None = None
        self._refused: _Refused | None = None
        self._refused_at_models: list[Refusal] | None = None

    def keep(self, now: float) -> None:
        """Charge what is new in the ledger, and refuse or admit requests. Raises ControlError and OSError."""
        stamp = self._keys.stamp
        if stamp != self._stamp:
            keyring = self._keys.load()
            self._limited = tuple(key for key in keyring.by_name.values() if key.limits_tokens and keyring.required)
            self._stamp = stamp
            self._refused = None
        limits = {name: each for name, each in self._limits().items() if each.limits_tokens}
        if not self._limited and not limits:
            self.close()
            self._write({}, [])
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
        at_models = self._spending.refused_at_models(limits, now)
        self._write({period: dict(keys) for period, keys in refused.items()}, at_models)

    def close(self) -> None:
        """Forget the ledger; it is read again if a key or a model limits its tokens."""
        if self._tail:
            self._tail.close()
        self._spending = self._tail = None

    def _write(self, refused: _Refused, at_models: list[Refusal]) -> None:
        if refused != self._refused:
            self._keys.refuse(refused)
            self._refused = refused
        if at_models != self._refused_at_models:
            self._keys.refuse_at_models(at_models)
            self._refused_at_models = at_models
