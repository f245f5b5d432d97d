"""Charge requests, and have the gateway refuse keys, and requests for models, whose budgets are used up.

Called by cli.keys and wiring.

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
from bateau.domain.used import Refusal, Used
from bateau.domain.workload import Limits
from bateau.store.ledger import KEPT_DAYS, Ledger
from bateau.store.ledger_reader import LedgerReader, Position, start_of
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
        self._at = began
        self._rates: Rates | None = None

    def follow(self, now: float) -> Rates:
        """Note costs that have changed, and return the history. Raises ControlError."""
        before = self._file.load() if self._rates is None else self._rates
        release = self._release()
        if release is not self._seen or now < self._at:  # the clock was set back
            rates = before.followed_by(_costs(release), began=self._began, now=now)
            if rates is not before:
                rates = rates.without(before=now - KEPT_DAYS * _DAY_S)
                self._file.save(rates)
            self._seen, before = release, rates
        self._rates, self._at = before, now
        return before


class Budgets:
    """The budgets of one instance's keys and models. `limits` returns the limits of each model, by name.

    A consumer of the ledger: whenever it begins, it reads all requests of the month. `report`, if it is set, gets the
    events of limits that are reached.
    """

    wrong: str = "usage is not charged at the moment, and refused keys stay refused"
    lines_max: int = 20_000

    def __init__(
        self, keys: Keys, ledger: Ledger, rates: FollowedRates, limits: Callable[[], Mapping[str, Limits]]
    ) -> None:
        self.report: Callable[[Iterable[Event]], None] | None = None
        self._keys = keys
        self._limits = limits
        self._ledger = ledger
        self._rates = rates
        self._stamp: tuple[int, int] | None = None
        self._limited: tuple[ApiKey, ...] = ()
        self._limits_now: Mapping[str, Limits] = {}
        self._spending: Spending | None = None
        self._month = 0.0
        self._position: Position = {}
        self._refused: _Refused | None = None
        self._refused_at_models: list[Refusal] | None = None
        self._reported: set[tuple[str, str]] = set()
        self._events = LimitEvents()
        self._is_known = False  # whether all requests of the month are charged

    @property
    def refused(self) -> Mapping[str, Mapping[str, float]] | None:
        """The keys that have used up a budget, by period, and until when they are refused; None: not known yet."""
        return self._refused

    @property
    def refuses(self) -> bool:
        """Whether requests are refused until a time."""
        return bool(self._refused_at_models) or any((self._refused or {}).values())

    def begin(self, now: float) -> Position | None:
        """Learn costs, keys and limits; without a limit nothing is read. Raises ControlError and OSError."""
        rates = self._rates.follow(now)
        stamp = self._keys.stamp
        if stamp != self._stamp:
            keyring = self._keys.load()
            self._limited = tuple(key for key in keyring.by_name.values() if key.limits_usage and keyring.required)
            self._stamp = stamp
            self._refused = None
        self._limits_now = {name: each for name, each in self._limits().items() if each.limits_tokens}
        month = first_of_month(now)
        if month < self._month or not (self._limited or self._limits_now):
            self._spending = None  # a clock that was ahead has had this month forgotten
        self._month = month
        if not (self._limited or self._limits_now):
            return None
        if self._spending is None:
            self._spending, self._position = Spending(), start_of(self._ledger, month)
        self._spending.rates = rates
        return self._position

    def take(self, requests: Sequence[Used], position: Position) -> None:
        """Charge requests."""
        self._position = position
        if self._spending:
            for used in requests:
                self._spending.add(used)

    def settle(self, now: float, *, at_end: bool) -> None:
        """Refuse or admit requests, once all that was used is known. Raises ControlError and OSError."""
        self._is_known = at_end
        if not at_end:
            return
        if self._spending is None:
            self._write({}, [])
            return
        refused = self._spending.refused(self._limited, now)
        at_models = self._spending.refused_at_models(self._limits_now, now)
        self._write({period: dict(keys) for period, keys in refused.items()}, at_models)
        if self.report:
            self.report(self._events.new(refused, at_models, now))
        self._report_unknown(self._spending, now)

    def close(self) -> None:
        """Forget the requests; they are read again."""
        self._spending = None

    def spent(self, key: ApiKey, now: float) -> Sequence[Spent] | None:
        """Return how much of its budgets a key has used; None while that is not known."""
        spending = self._spending
        if not key.budgets:
            return ()
        return spending.spent(key, now) if spending and self._is_known else None

    def refused_until(self, key: str, now: float) -> float | None:
        """Return until when a key is refused, in seconds since the epoch; None if it is not."""
        until = max((keys.get(key, now) for keys in (self._refused or {}).values()), default=now)
        return until if until > now else None

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
    ledger, spending = ledger_of(instance, environ), Spending()
    spending.rates = rate_file_of(instance, environ).load()
    reader = LedgerReader(ledger, start_of(ledger, first_of_month(now)))
    while not reader.at_end:
        for used in reader.read(Budgets.lines_max):
            spending.add(used)
    reader.close()
    return spending.spent(key, now)


def _costs(release: Release) -> Mapping[str, Costs | None]:
    return {service.name: service.costs for service in release.services if service.is_named_in_bodies}
