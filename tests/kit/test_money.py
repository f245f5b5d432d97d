"""Amounts of money: read strictly, exact, and never shown as nothing."""

import random
from decimal import Decimal

import pytest

from bateau.kit.money import Money, exact, shown


@pytest.mark.parametrize(
    "text", ["", "5", "EUR", "5 eur", "5  EUR", "-5EUR", "0EUR", "0.00 EUR", "5,00EUR", "1e3EUR", "5EURO", "5.EUR",
             "nanEUR", "5EUR ", "\u0665EUR", "1234567890123EUR"],
)  # fmt: skip
def test_what_is_not_an_amount_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an amount of money: write 5EUR or '0\.50 EUR'"):
        Money.parse(text)


def test_an_amount_is_written_as_it_is_read() -> None:
    for text in ("5 EUR", "0.50 USD", "100 CHF", "0.000000001 EUR"):
        assert str(Money.parse(text)) == text
    assert Money.parse("0.1EUR").amount == Decimal("0.1")


def test_a_sum_is_exact_in_any_order() -> None:
    amounts = [exact(each) for each in (0.1, 0.2, 0.3, 1e-6, 1e9)] * 1000
    whole = sum(amounts, Decimal())
    random.Random(1).shuffle(amounts)  # noqa: S311 - no secret
    assert sum(amounts, Decimal()) == whole == Decimal("1000000000600.001")


def test_a_small_amount_is_not_shown_as_nothing() -> None:
    assert [shown(Decimal(each)) for each in ("0", "0.5", "0.0499", "0.00000012", "1", "1234567.891")] == [
        "0.00", "0.50", "0.050", "0.00000012", "1.00", "1,234,567.89",
    ]  # fmt: skip
