"""Sums of usage as JSON, CSV and rows of a table.

Called by cli.cluster_usage and cli.usage.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from bateau.domain.closure import Closure
from bateau.domain.costs import CostSum
from bateau.domain.used import By, Group, Sum, Summary
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.kit.money import shown
from bateau.kit.rfc3339 import rfc3339

_HEADER = ("REQUESTS", "ERRORS", "TOKENS IN", "CACHED", "TOKENS OUT", "UNKNOWN", "ESTIMATED")
CLOSURE_HEADER = ("REPLICA", "REQUESTS", "ESTIMATED", "TOKENS IN", "ENGINE", "TOKENS OUT", "ENGINE", "DIFFERENCE")
_UNKNOWN = "-"


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of costs: its name in CSV, its header in a table, and its value, None if it is not known."""

    name: str
    header: str
    of: Callable[[CostSum], Decimal | int | None]
    shown: Callable[[Decimal | int], str] = shown


def usage_json(found: Summary, by: By, *, since: str, until: str, damaged: int) -> ReadObject:
    """Return sums as JSON; times are in RFC 3339. `damaged` lines of the ledger are not in the sums."""
    return {"since": since, "until": until, "by": by, **sums_json(found, by), "damagedLines": damaged}


def sums_json(found: Summary, by: By) -> Mapping[str, ReadJson]:
    """Return the sums of groups, and of all together, as JSON."""
    groups = [{by: group, **_group(each)} for group, each in found.by.items()]
    return {"groups": groups, "total": _group(found.total)}


def usage_csv(found: Summary, by: By) -> str:
    """Return sums as CSV with a header, without the total. Costs that are not known are empty.

    Costs have columns if those of any request are known.
    """
    text, columns = io.StringIO(), _columns(found.total.costs)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((by, *_sum(found.total.sum), *(column.name for column in columns)))
    for group, each in found.by.items():
        costs = (column.of(each.costs) for column in columns)
        writer.writerow(
            (group, *_sum(each.sum).values(), *("" if cost is None else f"{Decimal(cost):f}" for cost in costs))
        )
    return text.getvalue()


def usage_rows(found: Summary, by: By) -> list[tuple[str, ...]]:
    """Return the rows of a table: its header, the groups and the total. Costs have columns as in `usage_csv`."""
    columns = _columns(found.total.costs)
    header = (by.upper(), *_HEADER, *(column.header for column in columns))
    return [header, *(_row(group, each, columns) for group, each in (*found.by.items(), ("total", found.total)))]


def _row(group: str, each: Group, columns: Sequence[_Column]) -> tuple[str, ...]:
    costs = ((column, column.of(each.costs)) for column in columns)
    cells = (_UNKNOWN if cost is None else column.shown(cost) for column, cost in costs)
    return (group, *(f"{value:,}" for value in _sum(each.sum).values()), *cells)


def _columns(total: CostSum) -> Sequence[_Column]:
    """Return the columns of all costs that are known, each kind with one of the requests whose costs are not."""
    money = [_Column(name=each, header=each, of=partial(_spent, each)) for each in sorted(total.money)]
    if money:
        money.append(
            _Column(
                name="requestsWithoutPrice", header="PRICE UNKNOWN", of=lambda costs: costs.money_unknown, shown=_whole
            )
        )
    if total.kwh is None:
        return money
    return [
        *money,
        _Column(name="kWh", header="KWH", of=lambda costs: costs.kwh),
        _Column(
            name="requestsWithoutEnergy", header="ENERGY UNKNOWN", of=lambda costs: costs.energy_unknown, shown=_whole
        ),
    ]


def _spent(currency: str, costs: CostSum) -> Decimal | None:
    return costs.money.get(currency)


def _whole(number: Decimal | int) -> str:
    return f"{number:,}"


def _group(each: Group) -> Mapping[str, ReadJson]:
    return {**_sum(each.sum), **_costs(each.costs)}


def _costs(each: CostSum) -> Mapping[str, ReadJson]:
    return {
        "money": {currency: float(amount) for currency, amount in sorted(each.money.items())},
        "requestsWithoutPrice": each.money_unknown,
        "kWh": None if each.kwh is None else float(each.kwh),
        "requestsWithoutEnergy": each.energy_unknown,
    }


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
