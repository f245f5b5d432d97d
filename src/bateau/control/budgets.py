"""Decide which keys and models have used up what they may use, and until when requests are refused.

Called by api.key_json, control.key_report, ui.keys and wiring.budgets. Pure: it is given the requests, the costs of
models and the time.

Invariant: a restart forgets nothing that counts: the same requests in any order give the same decisions. Held by
tests/control/test_budgets.py::test_the_order_of_requests_does_not_matter.
Invariant: a request whose costs are not known is counted as such, and not as one without costs. Held by
tests/control/test_budgets.py::test_requests_without_a_price_are_counted_and_not_charged.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Final

from bateau.domain.api_key import KWH, TOKENS, ApiKey, Budget
from bateau.domain.costs import Costs, Rates, Tokens, amount_of
from bateau.domain.used import Refusal, Used
from bateau.domain.workload import Limits

_MINUTE_S: Final = 60.0


# Who has used tokens of which model; None for a key: all together, for a model: all of them.
_Subject = tuple[str | None, str | None]
# A key, a day or a month, and a unit.
_Account = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """How much of a budget is used in its period. The costs of `unknown` of the `requests` are not known."""

    budget: Budget
    used: Decimal
    requests: int
    unknown: int

    @property
    def is_all(self) -> bool:
        """Whether nothing of the budget is left."""
        return self.used >= self.budget.amount


class Spending:
    """The tokens that were used in the last minute by each key, of each model, and by each key of each model.

    Also the tokens, money and energy that each key has used today, and this month. `rates` are the costs of models at
    the times of the requests that are added.
    """

    def __init__(self) -> None:
        self.rates = Rates()
        self._minute: defaultdict[_Subject, list[tuple[float, int]]] = defaultdict(list)
        self._used: defaultdict[_Account, Decimal] = defaultdict(Decimal)
        self._counted: defaultdict[_Account, int] = defaultdict(int)  # requests whose costs are known

    def add(self, used: Used) -> None:
        """Charge a request to its key and its model, at the time when it ended."""
        tokens = _tokens(used)
        if tokens.is_none:
            return
        together = tokens.input + tokens.output
        subjects: set[_Subject] = {(used.key, None), (None, used.model), (used.key, used.model)} - {(None, None)}
        for subject in subjects:
            self._minute[subject].append((used.ended_at, together))
        if used.key is None:
            return
        costs = self.rates.of(used.answered_by, used.at)
        amounts = {TOKENS: Decimal(together), **_amounts(costs, tokens)}
        for period in (_day(used.ended_at), _month(used.ended_at)):
            for unit, amount in amounts.items():
                self._used[used.key, period, unit] += amount
                self._counted[used.key, period, unit] += 1

    def refused_at_models(self, limits: Mapping[str, Limits], now: float) -> list[Refusal]:
        """Return which requests for models are refused, and until when; `limits` are those of models, by name."""
        self._forget(now)
        found: list[Refusal] = []
        for key, model in self._minute:
            known = limits.get(model or "")
            if model is None or known is None:
                continue
            limit = known.tokens_per_minute if key is None else known.per_key.tokens_per_minute
            if limit is not None and (until := self._minute_until((key, model), limit)):
                found.append(Refusal(model=model, key=key, until=until))
        return found

    def refused(self, keys: Iterable[ApiKey], now: float) -> Mapping[str, Mapping[str, float]]:
        """Return until when keys are refused, by the name of the budget or "minute", and by the name of the key."""
        self._forget(now)
        found: dict[str, dict[str, float]] = {}
        for key in keys:
            limit = key.tokens_per_minute
            if limit is not None and (until := self._minute_until((key.name, None), limit)):
                found.setdefault("minute", {})[key.name] = until
            for spent in self.spent(key, now):
                if spent.is_all:
                    found.setdefault(spent.budget.name, {})[key.name] = _end(spent.budget, now)
        return found

    def spent(self, key: ApiKey, now: float) -> Sequence[Spent]:
        """Return how much of each of its budgets a key has used."""
        return [self._spent(key.name, budget, now) for budget in key.budgets]

    def _spent(self, key: str, budget: Budget, now: float) -> Spent:
        period = _day(now) if budget.period == "day" else _month(now)
        requests = self._counted.get((key, period, TOKENS), 0)
        return Spent(
            budget=budget,
            used=self._used.get((key, period, budget.unit), Decimal()),
            requests=requests,
            unknown=requests - self._counted.get((key, period, budget.unit), 0),
        )

    def _minute_until(self, subject: _Subject, limit: int) -> float | None:
        """Return when enough of the last minute is over; None if less than the limit was used."""
        used = sorted(self._minute.get(subject, ()))
        left = sum(tokens for _, tokens in used)
        until = None
        for ended, tokens in used:
            if left < limit:
                break
            left -= tokens
            until = ended + _MINUTE_S
        return until

    def _forget(self, now: float) -> None:
        for subject, used in list(self._minute.items()):
            # One that ended in the future is from a clock that was set back since.
            kept = [each for each in used if abs(now - each[0]) < _MINUTE_S]
            if kept:
                self._minute[subject] = kept
            else:
                del self._minute[subject]
        for account in [account for account in self._used if account[1] < _month(now)]:
            del self._used[account], self._counted[account]


def _tokens(used: Used) -> Tokens:
    """Return the tokens to charge: an estimate where an answer does not say them, or a client could use them for free.

    A token of a question has about four characters, and an event of a stream, with one token, about 200.
    """
    if used.tokens_in is None and used.tokens_out is None and used.status == HTTPStatus.OK:
        return Tokens(input=used.bytes_in // 4, output=used.bytes_out // 200)
    return used.tokens or Tokens()


def _amounts(costs: Costs | None, tokens: Tokens) -> Mapping[str, Decimal]:
    """Return the costs of tokens, by unit, as far as they are known."""
    money, energy = (costs.money, costs.energy) if costs else (None, None)
    found = {KWH: amount_of(energy, tokens)} if energy else {}
    return {**found, money.currency: amount_of(money, tokens)} if money else found


def first_of_month(now: float) -> float:
    """Return when the month of a time began, in seconds since the epoch.

    >>> first_of_month(0.0)
    0.0
    """
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _month(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def _end(budget: Budget, now: float) -> float:
    """Return when the period of a budget is over."""
    return _next_day(now) if budget.period == "day" else _next_month(now)


def _next_day(now: float) -> float:
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=1)).timestamp()


def _next_month(now: float) -> float:
    in_next = datetime.fromtimestamp(first_of_month(now), UTC) + timedelta(days=32)
    return first_of_month(in_next.timestamp())
