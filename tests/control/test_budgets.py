"""Tokens that are used up: when a key is refused, until when, and what a restart changes."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from bateau.control.budgets import Spending
from bateau.domain.api_key import ApiKey
from bateau.domain.used import Refusal, Used
from bateau.domain.workload import KeyLimits, Limits

NOON = datetime(2026, 12, 31, 12, 0, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
FEBRUARY = datetime(2027, 2, 1, tzinfo=UTC).timestamp()


def key(name: str = "ci", **limits: int) -> ApiKey:
    return ApiKey(name=name, sha256="0" * 64, hint="abcd", owner="me", created_at=1.0, **limits)  # pyright: ignore[reportArgumentType]


def used(at: float, tokens: int, name: str | None = "ci", **more: Any) -> Used:
    return Used(at=at, id="r", path="/v1", status=200, key=name, tokens_in=tokens - 1, tokens_out=1, **more)


def spending(*requests: Used) -> Spending:
    made = Spending()
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
    keys = [key(name, tokens_per_minute=150, tokens_per_day=1500, tokens_per_month=1600) for name in "abc"]
    at_once = spending(*requests).refused(keys, NOON)
    rng.shuffle(requests)
    assert spending(*requests).refused(keys, NOON) == at_once


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
