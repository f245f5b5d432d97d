"""An API key of the endpoint, without its secret: who may use which models, how often, and until when.

Made by store.keys and specs.kinds.key; read by traffic.envoy.key_filters, wiring.keys and cli.keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from bateau.kit.money import Money, exact

ALL_MODELS: Final = "*"
GLOB: Final = "[A-Za-z0-9*?._:/@+-]{1,200}"
REQUESTS_MAX: Final = 10**9  # Envoy counts with 32 bits
# Of tokens, and of requests at once: what numbers in JSON hold exactly. A Kubernetes API server refuses a larger bound.
NUMBER_MAX: Final = 2**53 - 1
TOKENS: Final = "tokens"
KWH: Final = "kWh"
Period = Literal["day", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that a key may use in a day or a month (UTC): an amount of tokens, of kWh, or of a currency.

    The gateway refuses a key whose budget is used up by the `name` of the budget.
    """

    name: str
    unit: str
    period: Period
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key, without its secret: `sha256` is that of it, and `hint` its last four characters; empty before it has one.

    `models` are globs: `*` is any text and `?` any character. Times are in seconds since the epoch; without
    `expires_at` the key does not expire. Requests and tokens without a number are not limited.
    `concurrent` is how many requests may be in flight at once. `declared_at` is the place of its document in the specs,
    such as keys.yaml:3; None for a key that a command has created.
    Tokens are those of questions and answers together, charged after the answer; days and months are in UTC. Money and
    energy are the costs of the models.
    """

    name: str
    owner: str
    created_at: float | None = None
    sha256: str = ""
    hint: str = ""
    models: tuple[str, ...] = (ALL_MODELS,)
    expires_at: float | None = None
    requests_per_minute: int | None = None
    concurrent: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    money_per_day: Money | None = None
    money_per_month: Money | None = None
    kwh_per_day: float | None = None
    kwh_per_month: float | None = None
    note: str = ""
    declared_at: str | None = None

    @property
    def budgets(self) -> Sequence[Budget]:
        """What the key may use in a day and in a month, in the order in which people are shown them."""
        days, months = self.money_per_day, self.money_per_month
        found = (
            self._budget("day", TOKENS, "day", self.tokens_per_day),
            self._budget("month", TOKENS, "month", self.tokens_per_month),
            self._budget("money-day", days.currency, "day", days.amount) if days else None,
            self._budget("money-month", months.currency, "month", months.amount) if months else None,
            self._budget("energy-day", KWH, "day", self.kwh_per_day),
            self._budget("energy-month", KWH, "month", self.kwh_per_month),
        )
        return [budget for budget in found if budget]

    @property
    def limits_usage(self) -> bool:
        """Whether the key may use only so much in some period, as the ledger says."""
        return self.tokens_per_minute is not None or bool(self.budgets)

    def is_expired(self, now: float) -> bool:
        """Whether the key is no longer accepted at a time."""
        return self.expires_at is not None and self.expires_at <= now

    @staticmethod
    def _budget(name: str, unit: str, period: Period, amount: Decimal | float | None) -> Budget | None:
        if amount is None:
            return None
        return Budget(
            name=name, unit=unit, period=period, amount=amount if isinstance(amount, Decimal) else exact(amount)
        )
