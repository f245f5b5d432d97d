"""Tokens that are used up: when a key is refused, until when, and what a restart changes."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bateau.control.budgets import Spending
from bateau.domain.api_key import ApiKey
from bateau.domain.costs import Costs, Energy, Price, Rate, Rates
from bateau.domain.used import Refusal, Used
from bateau.domain.workload import KeyLimits, Limits
from bateau.kit.money import Money

NOON = datetime(2026, 12, 31, 12, 0, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
FEBRUARY = datetime(2027, 2, 1, tzinfo=UTC).timestamp()


RATES = Rates(
    {
        "chat": (
            Rate(since=0.0, costs=None),
            Rate(since=NOON - 7200, costs=Costs(money=Price(currency="EUR", input=1e5, output=1e5))),
        ),
        "big": (
            Rate(
                since=0.0,
                costs=Costs(money=Price(currency="USD", input=1e6, output=2e6), energy=Energy(input=1e6, output=1e6)),
            ),
        ),
    }
)


def key(name: str = "ci", **limits: object) -> ApiKey:
    return ApiKey(name=name, sha256="0" * 64, hint="abcd", owner="me", created_at=1.0, **limits)  # pyright: ignore[reportArgumentType]


def used(at: float, tokens: int, name: str | None = "ci", **more: Any) -> Used:
    return Used(at=at, id="r", path="/v1", status=200, key=name, tokens_in=tokens - 1, tokens_out=1, **more)


def spending(*requests: Used, rates: Rates = RATES) -> Spending:
    made = Spending()
    made.rates = rates
    for each in requests:
        made.add(each)
    return made


def test_less_than_the_limit_refuses_nobody() -> None:
    limited = key(tokens_per_minute=10, tokens_per_day=10, tokens_per_month=10)
    assert spending(used(NOON, 9)).refused([limited], NOON) == {}
    assert spending(used(NOON, 100)).refused([key("other", tokens_per_day=1), key()], NOON) == {}


def test_a_minute_is_over_when_enough_of_it_has_passed() -> None:
    made = spending(used(NOON, 40), used(NOON + 20, 40), used(NOON + 30, 40))
    limited = key(tokens_per_minute=100)
    assert made.refused([limited], NOON + 31) == {"minute": {"ci": NOON + 60}}
    assert made.refused([limited], NOON + 60) == {}
    made.add(used(NOON + 61, 500))
    assert made.refused([limited], NOON + 62) == {"minute": {"ci": NOON + 121}}


def test_a_clock_that_is_set_back_refuses_nobody_until_it_is_there_again() -> None:
    made = spending(used(FEBRUARY, 500), used(NOON - 1, 40))
    limited = key(tokens_per_minute=100)
    assert made.refused([limited], NOON) == {}
    made.add(used(NOON, 60))
    assert made.refused([limited], NOON + 1) == {"minute": {"ci": NOON + 59}}


def test_a_request_counts_when_it_ends() -> None:
    made = spending(used(NOON - 600, 100, duration_ms=599_000))
    assert made.refused([key(tokens_per_minute=100)], NOON) == {"minute": {"ci": NOON + 59}}


def test_a_day_and_a_month_end_in_utc() -> None:
    made = spending(used(NOON, 100))
    limited = key(tokens_per_day=100, tokens_per_month=100)
    assert made.refused([limited], NOON) == {"day": {"ci": MIDNIGHT}, "month": {"ci": MIDNIGHT}}
    assert made.refused([limited], MIDNIGHT) == {}
    made.add(used(MIDNIGHT + 1, 100))
    assert made.refused([limited], MIDNIGHT + 2)["month"] == {"ci": FEBRUARY}
    assert made.refused([limited], MIDNIGHT + 86_402) == {"month": {"ci": FEBRUARY}}


def test_an_answer_that_does_not_say_its_tokens_is_estimated() -> None:
    gone = Used(at=NOON, id="r", path="/v1", status=200, key="ci", client_gone=True, bytes_in=400, bytes_out=2000)
    assert spending(gone).refused([key(tokens_per_day=110)], NOON) == {"day": {"ci": MIDNIGHT}}
    assert spending(gone).refused([key(tokens_per_day=111)], NOON) == {}


def test_a_request_without_a_key_or_an_answer_is_charged_to_nobody() -> None:
    refused = Used(at=NOON, id="r", path="/v1", status=429, key="ci", bytes_in=10_000, bytes_out=10_000)
    assert spending(used(NOON, 100, None), refused).refused([key(tokens_per_day=1)], NOON) == {}


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_requests_does_not_matter(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - no secret
    requests = [used(NOON - rng.random() * 80_000, rng.randrange(2, 50), rng.choice("abc")) for _ in range(200)]
    requests += [used(NOON - rng.random() * 60, rng.randrange(2, 50), rng.choice("abc")) for _ in range(20)]
    requests = [replace(each, model=rng.choice(["chat", "big", None])) for each in requests]
    budgets = {"money_per_day": Money.parse("50 EUR"), "kwh_per_month": 600.0}
    keys = [key(name, tokens_per_minute=150, tokens_per_day=1500, tokens_per_month=1600, **budgets) for name in "abc"]
    at_once = spending(*requests).refused(keys, NOON)
    rng.shuffle(requests)
    assert spending(*requests).refused(keys, NOON) == at_once


def test_money_that_is_spent_refuses_a_key_until_the_next_day_or_month() -> None:
    limited = key(money_per_day=Money.parse("12 EUR"), money_per_month=Money.parse("20EUR"))
    made = spending(used(NOON - 60, 100, model="chat"))
    assert made.refused([limited], NOON) == {}
    made.add(used(NOON, 20, model="chat"))
    assert made.refused([limited], NOON) == {"money-day": {"ci": MIDNIGHT}}
    made.add(used(NOON + 1, 80, model="chat"))
    assert made.refused([limited], NOON + 2)["money-month"] == {"ci": MIDNIGHT}
    assert made.refused([limited], MIDNIGHT) == {}
    made.add(used(MIDNIGHT + 1, 200, model="chat"))
    assert made.refused([limited], MIDNIGHT + 86_402) == {"money-month": {"ci": FEBRUARY}}


def test_energy_that_is_used_refuses_a_key() -> None:
    limited = key(kwh_per_day=99.5, kwh_per_month=100.5)
    made = spending(used(NOON, 100, model="big"))
    assert made.refused([limited], NOON) == {"energy-day": {"ci": MIDNIGHT}}
    made.add(used(NOON, 2, model="big"))
    assert made.refused([limited], NOON)["energy-month"] == {"ci": MIDNIGHT}


def test_a_budget_is_used_up_exactly() -> None:
    """0.1 and 0.2 are not 0.3 as binary fractions."""
    rates = Rates({"chat": (Rate(since=0.0, costs=Costs(money=Price(currency="EUR", input=1e5, output=1e5))),)})
    limited = key(money_per_day=Money.parse("0.3EUR"))
    requests = [replace(used(NOON, 2, model="chat"), tokens_in=tokens, tokens_out=0) for tokens in (1, 2)]
    assert spending(*requests, rates=rates).refused([limited], NOON) == {"money-day": {"ci": MIDNIGHT}}


def test_a_request_has_the_price_of_the_time_when_it_came() -> None:
    """It may end later, and it counts for the day on which it ended."""
    limited = key(money_per_day=Money.parse("1 EUR"))
    late = used(NOON - 7201, 100, model="chat", duration_ms=7_000_000)
    assert spending(late).refused([limited], NOON) == {}
    assert spending(replace(late, at=NOON - 7200)).refused([limited], NOON) == {"money-day": {"ci": MIDNIGHT}}


def test_requests_without_a_price_are_counted_and_not_charged() -> None:
    limited = key(money_per_month=Money.parse("1 EUR"), kwh_per_day=1000.0, tokens_per_day=1000)
    made = spending(used(NOON, 5, model="big"), used(NOON, 5, model="none"), used(NOON, 5), used(NOON, 5, model="chat"))
    assert made.refused([limited], NOON) == {}
    assert [(each.budget.name, each.used, each.requests, each.unknown) for each in made.spent(limited, NOON)] == [
        ("day", 20, 4, 0),
        ("money-month", Decimal("0.5"), 4, 3),
        ("energy-day", 5, 4, 3),
    ]


def at(model: str, **more: Any) -> Used:
    return used(NOON, 60, more.pop("key", "ci"), model=model, **more)


def test_the_tokens_of_a_model_are_those_of_all_its_clients() -> None:
    limits = {"chat": Limits(tokens_per_minute=100), "free": Limits()}
    made = spending(at("chat"), at("chat", key=None), at("free"), at("other"))
    assert made.refused_at_models(limits, NOON) == [Refusal(model="chat", key=None, until=NOON + 60)]
    assert spending(at("chat")).refused_at_models(limits, NOON) == []
    assert made.refused_at_models(limits, NOON + 61) == []


def test_each_key_has_tokens_of_its_own_at_a_model() -> None:
    limits = {"chat": Limits(per_key=KeyLimits(tokens_per_minute=100))}
    made = spending(at("chat"), at("chat"), at("chat", key="b"), at("free", key="b"), at("chat", key=None))
    assert made.refused_at_models(limits, NOON) == [Refusal(model="chat", key="ci", until=NOON + 60)]
    assert made.refused([key()], NOON) == {}
