"""The declared costs of a model, their history, and the costs of requests.

Made by specs.kinds.model and store.rates; read by control.budgets, domain.used and api.usage_json. Pure.

Costs are declared data: the energy of a request is not measured.

Invariant: a request costs as much as the model that answered it did when the request came. Held by
tests/domain/test_costs.py::test_a_request_has_the_price_of_its_time.
Invariant: costs that are not known are counted as unknown, never as 0. Held by
tests/domain/test_costs.py::test_costs_that_are_not_known_are_not_zero.
Refused: prices in the lines of the ledger. Each change of a price would be a change of the gateway, which writes them.
Refused: binary fractions. Their sums depend on the order of the requests, and 0.1 and 0.2 would not use up 0.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from bateau.kit.money import CURRENCY, CURRENCY_SAYS, exact
from bateau.kit.schema import described

_AMOUNT_MAX: Final = 1_000_000_000
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens of one request. `input` includes the `cached` ones."""

    input: int = 0
    cached: int = 0
    output: int = 0

    @property
    def is_none(self) -> bool:
        """Whether no token was used."""
        return not self.input and not self.output


@dataclass(frozen=True, kw_only=True)
class Price:
    """Price of a million tokens."""

    currency: str = described(
        "Currency, as in ISO 4217.", pattern=CURRENCY, pattern_says=CURRENCY_SAYS, examples=("EUR",)
    )
    input: float = described(
        "Price of a million tokens of questions.", minimum=0, maximum=_AMOUNT_MAX, examples=(0.15,)
    )
    cached: float | None = described(
        "Price of a million tokens of questions that were in a cache of the engine or provider. Absent: that of "
        "`input`.",
        default=None,
        minimum=0,
        maximum=_AMOUNT_MAX,
        examples=(0.05,),
    )
    output: float = described("Price of a million tokens of answers.", minimum=0, maximum=_AMOUNT_MAX, examples=(0.6,))


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Energy of a million tokens in kWh, as declared: it is not measured."""

    input: float = described(
        "Energy of a million tokens of questions, in kWh.", minimum=0, maximum=_AMOUNT_MAX, examples=(0.1,)
    )
    cached: float | None = described(
        "Energy of a million tokens of questions that were in a cache, in kWh. Absent: that of `input`.",
        default=None,
        minimum=0,
        maximum=_AMOUNT_MAX,
        examples=(0.01,),
    )
    output: float = described(
        "Energy of a million tokens of answers, in kWh.", minimum=0, maximum=_AMOUNT_MAX, examples=(0.4,)
    )


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Costs of the tokens of a model, for the budgets of keys and for `bateau usage`. On one machine only."""

    money: Price | None = described("Price of a million tokens. Absent: it is not known.", default=None)
    energy: Energy | None = described("Energy of a million tokens. Absent: it is not known.", default=None)


def amount_of(rate: Price | Energy, tokens: Tokens) -> Decimal:
    """Return the exact costs of tokens, in the currency or in kWh.

    >>> amount_of(Energy(input=1, cached=0.5, output=4), Tokens(input=300_000, cached=200_000, output=50_000))
    Decimal('0.4')
    """
    cached = rate.input if rate.cached is None else rate.cached
    hits = min(tokens.cached, tokens.input)
    parts = ((rate.input, tokens.input - hits), (cached, hits), (rate.output, tokens.output))
    return sum((exact(each) * number for each, number in parts), Decimal()) / _MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The costs of a model from a time on, in seconds since the epoch; None where none were declared."""

    since: float
    costs: Costs | None


@dataclass(frozen=True, slots=True)
class Rates:
    """The history of the costs of each model, by its name, in the order in which they were declared."""

    by_model: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict[str, tuple[Rate, ...]])

    def of(self, model: str | None, at: float) -> Costs | None:
        """Return the costs of a model at a time, in seconds since the epoch; None if they are not known."""
        for rate in reversed(self.by_model.get(model or "", ())):
            if rate.since <= at:
                return rate.costs
        return None

    def followed_by(self, costs: Mapping[str, Costs | None], *, began: float, now: float) -> "Rates":
        """Return this history with the costs of now; the same object if none differ.

        A model that was not known before has had its costs since `began`. One that is not in `costs` keeps its last.
        Costs that were declared in the future, by a clock that was set back since, are those from now on.
        """
        known = {name: _until(rates, now) for name, rates in self.by_model.items()}
        changed = {
            name: Rate(since=now if name in known else min(began, now), costs=found)
            for name, found in costs.items()
            if name not in known or known[name][-1].costs != found
        }
        if not changed and known == self.by_model:
            return self
        added = {name: (*known.get(name, ()), rate) for name, rate in changed.items()}
        return replace(self, by_model={**known, **added})

    def without(self, *, before: float) -> "Rates":
        """Return this history without the costs of a time that is over."""
        found = {
            name: tuple(
                rate
                for rate, after in zip(rates, (*(each.since for each in rates[1:]), None), strict=True)
                if after is None or after > before
            )
            for name, rates in self.by_model.items()
        }
        return replace(self, by_model=found)


def _until(rates: tuple[Rate, ...], now: float) -> tuple[Rate, ...]:
    return tuple(replace(rate, since=min(rate.since, now)) for rate in rates) if rates[-1].since > now else rates


@dataclass(slots=True)
class CostSum:
    """The costs of requests: money by currency, and energy in kWh, None if that of no request is known.

    `money_unknown` and `energy_unknown` are the numbers of requests whose costs are not in the sums.
    """

    money: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    money_unknown: int = 0
    kwh: Decimal | None = None
    energy_unknown: int = 0

    def add(self, tokens: Tokens | None, costs: Costs | None) -> None:
        """Add a request with the costs of its model. A request without tokens costs nothing; None: not known."""
        if tokens is not None and tokens.is_none:
            return
        if costs and costs.money and tokens:
            so_far = self.money.get(costs.money.currency, Decimal())
            self.money[costs.money.currency] = so_far + amount_of(costs.money, tokens)
        else:
            self.money_unknown += 1
        if costs and costs.energy and tokens:
            self.kwh = (self.kwh or Decimal()) + amount_of(costs.energy, tokens)
        else:
            self.energy_unknown += 1
