"""Whatever is in a line of the ledger, all who act on it either can, or the line is damaged."""

import json
import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from bateau.control.affinity import Affinity
from bateau.control.budgets import Spending
from bateau.domain.api_key import ApiKey
from bateau.domain.costs import Costs, Energy, Price, Rate, Rates
from bateau.domain.estimate import with_estimates
from bateau.domain.usage_counters import UsageCounters
from bateau.domain.used import summary
from bateau.observe.otlp_wire import request_of
from bateau.observe.spans import span_of
from bateau.store.ledger import used_of

NOW = 1_800_000_000.0
NUMBERS = ("duration_ms", "first_byte_ms", "status", "bytes_in", "bytes_out", "events", "prompt_ms", "predicted_ms")
TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "input_tokens", "output_tokens", "prompt_n", "cache_n")
TEXTS = (
    "id",
    "key",
    "owner",
    "model",
    "replica",
    "path",
    "method",
    "flags",
    "traceparent",
    "stop_reason",
    "balanced_by",
)
COSTS = Costs(
    money=Price(currency="EUR", input=0.1, output=1e9), energy=Energy(input=1e-300, cached=1e9, output=0.0)
)  # fmt: skip
RATES = Rates({"chat": (Rate(since=0.0, costs=COSTS),)})

odd = some.sampled_from([float("nan"), float("inf"), -float("inf"), -5, 1e300, 10**30, 10**16 - 1, "9" * 15, 1.5, "-1"])
numbers = some.one_of(odd, some.integers(), some.floats(), some.text(string.digits))
values = some.one_of(numbers, some.none(), some.booleans(), some.text(), some.lists(some.integers()), some.just("chat"))
times = some.one_of(some.just(f"{NOW:.3f}"), some.floats(0, 1e10).map(str), numbers.map(str), values)
counts = some.lists(some.tuples(some.sampled_from((*NUMBERS, *TOKENS, "stop_reason")), numbers | values)).map(
    lambda pairs: " ".join(f"{name}={value}" for name, value in pairs)
)
lines = some.fixed_dictionaries(
    {"v": some.sampled_from(["1", "2", "begun-1"]), "time": times},
    optional={**dict.fromkeys((*NUMBERS, *TOKENS), numbers), **dict.fromkeys(TEXTS, values), "counts": counts},
)


@given(lines)
def test_a_line_is_damaged_or_everything_can_act_on_it(tree: dict[str, Any]) -> None:
    used = used_of(json.dumps(tree).encode())
    if used is None:
        return
    assert min(used.tokens_in or 0, used.tokens_cached or 0, used.tokens_out or 0, used.bytes_in, used.bytes_out) >= 0
    key = ApiKey(name=used.key or "ci", owner="me", tokens_per_minute=5, tokens_per_day=5, kwh_per_month=1.0)
    spending = Spending()
    spending.rates = RATES
    spending.add(used)
    for now in (NOW, used.ended_at):
        spending.refused([key], now)
    for by in ("key", "owner", "model", "day", "hour"):
        summary(with_estimates([used], lambda: [used]), by, owners={}, rates=RATES)
    UsageCounters().add(used, {})
    request_of([span_of(used, owner=used.owner, server=("localhost", 8080))], resource={}, scope=("bateau", "1"))
    affinity = Affinity()
    affinity.follow([used] * 100, {used.model or ""}, NOW)
