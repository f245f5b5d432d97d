"""Affinity turns itself off where it is slower, for a while, and never by chance."""

import math
import random
from collections.abc import Iterator, Sequence

import pytest

from bateau.control.affinity import PAUSE_S, PAUSE_S_MAX, REQUESTS_MIN, Affinity
from bateau.domain.used import Used

NOW = 1_000_000.0


def used(balanced_by: str | None, first_byte_ms: int | None, at: float = NOW, **more: object) -> Used:
    about = {"at": at, "id": "r", "path": "/v1/completions", "status": 200, "model": "chat", "duration_ms": 0, **more}
    return Used(**about, balanced_by=balanced_by, first_byte_ms=first_byte_ms)  # pyright: ignore[reportArgumentType]


def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a test draws the same numbers every time


def traffic(chance: random.Random, *, prefix_ms: float, requests_ms: float, count: int = 1600) -> Iterator[Used]:
    """Yield requests of which one in sixteen is balanced without affinity; times vary by a factor of about two."""
    for number in range(count):
        by, mean = ("requests", requests_ms) if number % 16 == 0 else ("prefix", prefix_ms)
        yield used(by, round(mean * math.exp(chance.gauss(0, 0.7))))


def after(requests: Sequence[Used] | Iterator[Used], affinity: Affinity | None = None, now: float = NOW) -> Affinity:
    affinity = affinity or Affinity()
    affinity.follow((), {"chat"}, now)
    affinity.follow(requests, {"chat"}, now)
    return affinity


def test_affinity_that_is_faster_stays_on() -> None:
    affinity = after(traffic(dice(1), prefix_ms=100, requests_ms=1200))
    assert affinity.is_on("chat")
    assert affinity.status("chat", wanted=True).on


def test_affinity_that_is_slower_is_turned_off_and_the_reason_has_the_figures() -> None:
    affinity = after(traffic(dice(1), prefix_ms=300, requests_ms=100))
    assert not affinity.is_on("chat")
    says = affinity.status("chat", wanted=True)
    assert not says.on
    assert "turned itself off until 1970-01-12 14:01 UTC" in says.says, says
    assert "(1500 requests)" not in says.says, "only the newest count"
    assert "(500 requests)" in says.says
    assert "(100 requests)" in says.says


@pytest.mark.parametrize("seed", range(20))
def test_chance_does_not_turn_affinity_off(seed: int) -> None:
    """It is compared after every request, so a look that errs in one of a hundred would err soon."""
    affinity = after(())
    for each in traffic(dice(seed), prefix_ms=200, requests_ms=200):
        assert not affinity.follow([each], {"chat"}, NOW), seed


def test_few_requests_decide_nothing() -> None:
    few = [used(by, ms) for by, ms in (("prefix", 900), ("requests", 1)) for _ in range(REQUESTS_MIN - 1)]
    affinity = after(few)
    assert affinity.is_on("chat")
    more = [used("prefix", 900), used("requests", 1)]
    assert affinity.follow(more, {"chat"}, NOW)
    assert not affinity.is_on("chat")


def test_what_is_no_measurement_does_not_count() -> None:
    wrong = [
        used("requests", 1, status=503),
        used("requests", None),
        used("requests", 1, model="other"),
        used("requests", 1, model=None),
        used(None, 1),
        used("nothing known", 1),
        used("requests", 1, at=NOW - 10),  # before it was turned on
    ]
    affinity = after([*wrong * REQUESTS_MIN, *[used("prefix", 900)] * REQUESTS_MIN])
    assert affinity.is_on("chat")


def test_it_is_tried_again_after_a_pause_that_grows_and_is_short_again_once_it_was_proven() -> None:
    slower = [used(by, ms) for by, ms in (("prefix", 900), ("requests", 1)) for _ in range(REQUESTS_MIN)]
    pauses: list[float] = []
    affinity, now = after(()), NOW
    for _ in range(8):
        began = now
        assert affinity.follow([used(each.balanced_by, each.first_byte_ms, now) for each in slower], {"chat"}, now)
        while not affinity.is_on("chat"):
            now += 60
            affinity.follow((), {"chat"}, now)
        pauses.append(now - began)
    assert pauses[:3] == [PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S]
    assert pauses[-1] == PAUSE_S_MAX
    now += 2 * 3600
    affinity.follow([used(each.balanced_by, each.first_byte_ms, now) for each in slower], {"chat"}, now)
    affinity.follow((), {"chat"}, now + PAUSE_S)
    assert affinity.is_on("chat")


def test_a_clock_that_is_set_back_neither_keeps_affinity_off_nor_stops_the_comparison() -> None:
    slower = [used(by, ms) for by, ms in (("prefix", 900), ("requests", 1)) for _ in range(REQUESTS_MIN)]
    ahead = NOW + 365 * 86_400
    affinity = after([used(each.balanced_by, each.first_byte_ms, ahead) for each in slower], now=ahead)
    assert not affinity.is_on("chat")
    affinity.follow((), {"chat"}, NOW)
    assert affinity.is_on("chat")
    affinity = after((), now=ahead)
    affinity.follow((), {"chat"}, NOW)
    affinity.follow(slower, {"chat"}, NOW)
    assert not affinity.is_on("chat")


def test_old_requests_are_forgotten() -> None:
    affinity = after([used("prefix", 900)] * 100)
    affinity.follow([used("requests", 1, NOW + 7200)] * 100, {"chat"}, NOW + 7200)
    assert affinity.is_on("chat")


def test_models_are_apart_and_one_that_is_gone_is_forgotten() -> None:
    affinity = Affinity()
    affinity.follow((), {"chat", "other"}, NOW)
    affinity.follow(traffic(dice(1), prefix_ms=300, requests_ms=100), {"chat", "other"}, NOW)
    assert affinity.off == {"chat"}
    assert affinity.is_on("other")
    assert affinity.follow((), {"other"}, NOW)
    assert affinity.is_on("chat")


def test_the_status_says_why_there_is_none() -> None:
    assert Affinity().status("chat", wanted=False).says == "spec.affinity is none"
    stock = Affinity("it needs the native filter")
    assert not stock.is_on("chat")
    assert stock.status("chat", wanted=True).says == "it needs the native filter"
