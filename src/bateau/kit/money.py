"""Amounts of money in a currency.

Called by api, cli, domain, specs, store and ui.

Invariant: an amount is exact: it is never a binary fraction. Held by
tests/kit/test_money.py::test_a_sum_is_exact_in_any_order.
"""

import functools
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

CURRENCY: Final = "[A-Z]{3}"
CURRENCY_SAYS: Final = "three capital letters, such as EUR"

MONEY: Final = rf"[0-9]{{1,12}}([.][0-9]{{1,9}})? ?{CURRENCY}"

_MONEY: Final = re.compile(rf"(?P<amount>[0-9]{{1,12}}([.][0-9]{{1,9}})?) ?(?P<currency>{CURRENCY})")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of a currency, such as 5 EUR."""

    amount: Decimal
    currency: str

    @classmethod
    def parse(cls, text: str) -> "Money":
        """Return an amount that is more than 0. Raises ValueError.

        >>> Money.parse("5EUR") == Money.parse("5 EUR"), str(Money.parse("0.50EUR"))
        (True, '0.50 EUR')
        """
        found = _MONEY.fullmatch(text)
        if found is None or not (amount := Decimal(found["amount"])):
            raise ValueError(f"{text} is not an amount of money: write 5EUR or '0.50 EUR'")
        return cls(amount=amount, currency=found["currency"])

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"


@functools.lru_cache(maxsize=1024)
def exact(number: float) -> Decimal:
    """Return a number as a person wrote it.

    >>> exact(0.1)
    Decimal('0.1')
    """
    return Decimal(repr(number).removesuffix(".0"))


def shown(amount: Decimal | int) -> str:
    """Return an amount for people: with two digits, and more if it would look like nothing.

    >>> shown(Decimal("1234.5")), shown(Decimal("0.000023456")), shown(Decimal(0))
    ('1,234.50', '0.000023', '0.00')
    """
    digits = 2 if amount >= 1 or not amount else max(2, 1 - Decimal(amount).adjusted())
    return f"{amount:,.{digits}f}"
