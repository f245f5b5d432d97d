"""Sums of usage as JSON, CSV and rows of a table.

Called by cli.usage.
"""

import csv
import io
from collections.abc import Mapping

from bateau.domain.closure import Closure
from bateau.domain.used import By, Sum, Summary
from bateau.kit.json_value import ReadObject
from bateau.kit.rfc3339 import rfc3339

HEADER = ("REQUESTS", "ERRORS", "TOKENS IN", "CACHED", "TOKENS OUT", "UNKNOWN", "ESTIMATED")
CLOSURE_HEADER = ("REPLICA", "REQUESTS", "ESTIMATED", "TOKENS IN", "ENGINE", "TOKENS OUT", "ENGINE", "DIFFERENCE")
_UNKNOWN = "-"


def usage_json(found: Summary, by: By, *, since: str, until: str, damaged: int) -> ReadObject:
    """Return sums as JSON; times are in RFC 3339. `damaged` lines of the ledger are not in the sums."""
    return {
        "since": since,
        "until": until,
        "by": by,
        "groups": [{by: group, **_sum(each)} for group, each in found.by.items()],
        "total": _sum(found.total),
        "damagedLines": damaged,
    }


def usage_csv(found: Summary, by: By) -> str:
    """Return sums as CSV with a header, without the total."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((by, *_sum(found.total)))
    writer.writerows((group, *_sum(each).values()) for group, each in found.by.items())
    return text.getvalue()


def usage_row(group: str, each: Sum) -> tuple[str, ...]:
    """Return the cells of a group."""
    return (group, *(f"{value:,}" for value in _sum(each).values()))


def _sum(each: Sum) -> Mapping[str, int]:
    return {
        "requests": each.requests,
        "errors": each.errors,
        "tokensIn": each.tokens_in,
        "tokensCached": each.tokens_cached,
        "tokensOut": each.tokens_out,
        "requestsWithoutTokens": each.uncounted,
        "requestsEstimated": each.estimated,
    }


def closure_json(each: Closure) -> ReadObject:
    """Return the sums of a replica's ledger beside those of its engine; null is not known, and so not checked."""
    return {
        "replica": each.engine.replica,
        "since": rfc3339(each.engine.since),
        "requests": each.sum.requests,
        "requestsEstimated": each.sum.estimated,
        "requestsInFlight": each.engine.in_flight,
        "tokensIn": each.sum.tokens_in,
        "engineTokensIn": each.engine.tokens_in,
        "tokensOut": each.sum.tokens_out,
        "engineTokensOut": each.engine.tokens_out,
        "difference": each.difference,
    }


def closure_row(each: Closure) -> tuple[str, ...]:
    """Return the cells of a replica."""
    numbers = (
        *(each.sum.requests, each.sum.estimated),
        *(each.sum.tokens_in, each.engine.tokens_in),
        *(each.sum.tokens_out, each.engine.tokens_out),
    )
    shown = (_UNKNOWN if number is None else f"{number:,}" for number in numbers)
    apart = "not checked" if each.difference is None else f"{each.difference:.2%}"
    return (each.engine.replica, *shown, apart)
