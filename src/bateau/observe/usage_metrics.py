"""The families of the metrics page about the ledger: requests and tokens by key, owner and model; its spans.

Called by wiring.metrics. Pure.
"""

from collections.abc import Mapping
from typing import Final

from bateau.domain.usage_counters import Series
from bateau.domain.used import Sum
from bateau.observe.metrics import Page

_FAMILIES: Final = (
    ("requests", "bateau_usage_requests_total", "Requests in the ledger."),
    ("errors", "bateau_usage_errors_total", "Requests in the ledger with a status of 400 or more, or none."),
    (
        "uncounted",
        "bateau_usage_requests_without_tokens_total",
        "Requests that were answered without saying their tokens, which the counters of tokens therefore lack.",
    ),
    ("tokens_in", "bateau_usage_tokens_in_total", "Tokens of questions, including those from the cache."),
    ("tokens_cached", "bateau_usage_tokens_cached_total", "Tokens of questions that were taken from the cache."),
    ("tokens_out", "bateau_usage_tokens_out_total", "Tokens of answers."),
)
_SPANS: Final = (
    "Spans that the collector has taken (sent) or rejected, that were too old (expired), or whose clients do not "
    "record their trace (unsampled)."
)
_FAILED: Final = "Attempts to send a batch of spans that have failed."


def add_usage(page: Page, sums: Mapping[Series, Sum]) -> None:
    """Add the counters of each series."""
    for series, each in sums.items():
        labels = {"key": series.key, "owner": series.owner, "gen_ai_request_model": series.model}
        for field, family, says in _FAMILIES:
            page.add(family, labels, getattr(each, field), kind="counter", says=says)


def add_spans(page: Page, outcomes: Mapping[str, int], *, failed_exports: int) -> None:
    """Add the counters of spans by outcome, and of attempts to send some that have failed."""
    for outcome, number in outcomes.items():
        page.add("bateau_spans_total", {"outcome": outcome}, number, kind="counter", says=_SPANS)
    page.add("bateau_span_exports_failed_total", {}, failed_exports, kind="counter", says=_FAILED)
