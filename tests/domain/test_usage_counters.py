"""Counters by key, owner and model: bounded, and without a request that is nowhere."""

import json
from typing import Any

from bateau.domain.usage_counters import OTHER, SERIES_MAX, Series, UsageCounters, from_trees
from bateau.domain.used import Sum, Used


def used(key: str | None = "ci", model: str | None = "chat", **more: int) -> Used:
    fields: dict[str, Any] = {"status": 200, **more}
    return Used(at=0.0, id="r", path="/v1/completions", **fields, key=key, model=model)


def test_requests_are_counted_by_key_owner_and_model() -> None:
    counters = UsageCounters()
    for each in (
        used(tokens_in=9, tokens_cached=4, tokens_out=2),
        used(),
        used(status=429),
        used(key=None, model=None),
    ):
        counters.add(each, {"ci": "ada"})
    assert counters.sums() == {
        Series("ci", "ada", "chat"): Sum(
            requests=3, errors=1, tokens_in=9, tokens_cached=4, tokens_out=2, uncounted=1, estimated=0
        ),
        Series("(no key)", "(no key)", "(no model)"): Sum(requests=1, uncounted=1),
    }


def test_requests_beyond_the_bound_are_in_one_series() -> None:
    counters = UsageCounters()
    for _ in range(2):
        for number in range(SERIES_MAX + 50):
            counters.add(used(f"key-{number}"), {})
    sums = counters.sums()
    assert len(sums) == SERIES_MAX + 1
    assert sums[OTHER].requests == 100
    assert sum(each.requests for each in sums.values()) == 2 * (SERIES_MAX + 50)


def test_keys_that_are_gone_make_room() -> None:
    counters = UsageCounters()
    for number in range(SERIES_MAX + 5):
        counters.add(used(f"key-{number}"), {})
    counters.add(used(key=None), {})
    counters.forget({"key-1"})
    assert [series.key for series in counters.sums()] == ["key-1", "(other)"]
    assert counters.sums()[OTHER].requests == 6
    counters.add(used("key-7"), {})
    assert Series("key-7", "(unknown)", "chat") in counters.sums()


def test_a_revoked_key_keeps_its_owner() -> None:
    counters = UsageCounters()
    counters.add(used(), {"ci": "ada"})
    counters = from_trees(json.loads(json.dumps(counters.trees())))
    counters.add(used(), {})
    counters.add(used(model="embed"), {})
    assert [(series.owner, each.requests) for series, each in counters.sums().items()] == [("ada", 2), ("ada", 1)]


def test_counters_are_the_same_after_they_were_written() -> None:
    counters = UsageCounters()
    for each in (used(tokens_in=9, tokens_out=2), used(key=None)):
        counters.add(each, {})
    assert from_trees(json.loads(json.dumps(counters.trees()))).sums() == counters.sums()
    assert from_trees([None, "x"]).sums() == {}
