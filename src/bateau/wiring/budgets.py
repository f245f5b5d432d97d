"""Follow the ledger, and have the gateway refuse keys, and requests for models, whose budgets are used up.

Called by cli.keys, wiring.accounts and wiring.local.

Invariant: what a key has used before a restart counts after it. Held by
tests/local/test_budgets.py::test_a_key_with_used_up_tokens_is_refused_also_after_a_restart and
tests/local/test_costs.py.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from bateau.control.budgets import Spending, Spent, first_of_month
from bateau.control.limit_events import LimitEvents
from bateau.domain.api_key import ApiKey
from bateau.domain.costs import Costs, Rates
from bateau.domain.event import Event
from bateau.domain.release import Release
from bateau.domain.used import Refusal
from bateau.domain.workload import Limits
from bateau.store.ledger import KEPT_DAYS, Ledger, Tail
from bateau.store.rates import RateFile
from bateau.wiring.keys import Keys
from bateau.wiring.usage import ledger_of, rate_file_of

logger = logging.getLogger(__name__)

_Refused = dict[str, dict[str, float]]
_DAY_S = 86_400.0


class FollowedRates:
    """The costs of one instance's models, and their history in a file.

    `release` returns the services that should run. Models that nobody knew before have their costs since `began`.
    """

    def __init__(self, file: RateFile, release: Callable[[], Release], *, began: float) -> None:
        self._file = file
        self._release = release
        self._began = began
        self._seen: Release | None = None
        self._rates: Rates | None = None

    def follow(self, now: float) -> Rates:
        """Note costs that have changed, and return the history. Raises ControlError."""
        before = self._file.load() if self._rates is None else self._rates
        release = self._release()
        if release is not self._seen:
            rates = before.followed_by(_costs(release), began=self._began, now=now)
            if rates is not before:
                rates = rates.without(before=now - KEPT_DAYS * _DAY_S)
                self._file.save(rates)
            self._seen, before = release, rates
        self._rates = before
        return before


class Budgets:
    """The budgets of one instance's keys and models. `limits` returns the limits of each model, by name.

    `report`, if it is set, gets the events of limits that are reached.
    """

    def __init__(
        self, keys: Keys, ledger: Ledger, rates: FollowedRates, limits: Callable[[], Mapping[str, Limits]]
    ) -> None:
        self.report: Callable[[Iterable[Event]], None] | None = None
        self._keys = keys
        self._limits = limits
        self._ledger = ledger
        self._rates = rates
        self._stamp: float | None = None
        self._limited: tuple[ApiKey, ...] = ()
        self._spending: Spending | None = None
        self._tail: Tail | None = None
        self._refused: _Refused | None = None
        self._refused_at_models: list[Refusal] | None = None
        self._reported: set[tuple[str, str]] = set()
        self._events = LimitEvents()

    def keep(self, now: float) -> None:
        """Charge the new lines of the ledger, and refuse or admit requests. Raises ControlError and OSError."""
        rates = self._rates.follow(now)
        stamp = self._keys.stamp
        if stamp != self._stamp:
            keyring = self._keys.load()
            self._limited = tuple(key for key in keyring.by_name.values() if key.limits_usage and keyring.required)
            self._stamp = stamp
            self._refused = None
        limits = {name: each for name, each in self._limits().items() if each.limits_tokens}
        if not self._limited and not limits:
            self.close()
            self._write({}, [])
            return
        if self._spending is None or self._tail is None:
            # All of the file that is written to comes by the tail.
            self._spending, self._tail = _earlier(self._ledger, rates, now), Tail(self._ledger)
        self._spending.rates = rates
        for used in self._tail.new():
            self._spending.add(used)
        refused = self._spending.refused(self._limited, now)
        at_models = self._spending.refused_at_models(limits, now)
        self._write({period: dict(keys) for period, keys in refused.items()}, at_models)
        if self.report:
            self.report(self._events.new(refused, at_models, now))
        self._report_unknown(self._spending, now)

    def close(self) -> None:
        """Forget the ledger; it is read again if a key or a model limits its usage."""
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

    def _report_unknown(self, spending: Spending, now: float) -> None:
        """Report once for each key and unit that a budget does not contain all requests."""
        for key in self._limited:
            for spent in spending.spent(key, now):
                if spent.unknown and (key.name, spent.budget.unit) not in self._reported:
                    self._reported.add((key.name, spent.budget.unit))
                    logger.warning(
                        "the key %s has a budget in %s and uses models whose costs in %s are unknown: "
                        "their requests are not in the budget; set spec.costs of these models",
                        key.name,
                        spent.budget.unit,
                        spent.budget.unit,
                    )


def spent_by(key: ApiKey, instance: str, environ: Mapping[str, str], now: float) -> Sequence[Spent]:
    """Return how much of its budgets a key has used, as the ledger says. Raises ControlError and OSError."""
    ledger = ledger_of(instance, environ)
    spending, tail = _earlier(ledger, rate_file_of(instance, environ).load(), now), Tail(ledger)
    for used in tail.new():
        spending.add(used)
    tail.close()
    return spending.spent(key, now)


def _earlier(ledger: Ledger, rates: Rates, now: float) -> Spending:
    """Return the usage of this month, as the older files of the ledger say."""
    spending = Spending()
    spending.rates = rates
    for used in ledger.rotated(since=first_of_month(now)):
        spending.add(used)
    return spending


def _costs(release: Release) -> Mapping[str, Costs | None]:
    return {service.name: service.costs for service in release.services if service.is_named_in_bodies}
