"""Sums of usage as JSON, CSV and rows of a table.

Called by cli.usage.
"""

import csv
import io
from collections.abc import Mapping

from bateau.domain.used import By, Sum, Summary
from bateau.kit.json_value import ReadObject

HEADER = ("REQUESTS", "ERRORS", "TOKENS IN", "CACHED", "TOKENS OUT", "UNKNOWN")


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
    }
