"""Sums of usage as tiles, as a table and as a chart.

Called by ui.

Invariant: a sum that lacks requests is shown as a lower bound, and an unknown one as unknown. Held by
tests/ui/test_usage_page.py::test_sums_that_lack_requests_are_lower_bounds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final

import htpy as h

from bateau.domain.costs import CostSum
from bateau.domain.usage_report import UsageReport
from bateau.domain.used import Group, Summary
from bateau.kit.money import shown
from bateau.ui.words import count, figure, safe

ROWS_MAX: Final = 500
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400
_BAR: Final = 10
_GAP: Final = 2
_HEIGHT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column of costs. `unknown` is the number of requests that it lacks."""

    title: str
    of: Callable[[CostSum], Decimal | None]
    unknown: Callable[[CostSum], int]


def _columns(total: CostSum) -> Sequence[_Column]:
    """Return the columns of all costs that are known, as `bateau usage` has them."""
    money = [
        _Column(
            title=each, of=lambda costs, each=each: costs.money.get(each), unknown=lambda costs: costs.money_unknown
        )
        for each in sorted(total.money)
    ]
    kwh = _Column(title="kWh", of=lambda costs: costs.kwh, unknown=lambda costs: costs.energy_unknown)
    return money if total.kwh is None else [*money, kwh]


def tiles(total: Group) -> h.Element:
    """Return the sums of all requests."""
    found, costs = total.sum, total.costs
    least = found.uncounted > 0
    figures: list[tuple[str, h.Node]] = [
        ("Requests", f"{found.requests:,}"),
        ("Errors", f"{found.errors:,}"),
        ("Tokens in", _least(found.tokens_in, least=least)),
        ("of these cached", _least(found.tokens_cached, least=least)),
        ("Tokens out", _least(found.tokens_out, least=least)),
        *((column.title, _cost(column, costs)) for column in _columns(costs)),
    ]
    return h.dl(".tiles")[(h.div[h.dt[name], h.dd[value]] for name, value in figures)]


def doubts(report: UsageReport) -> Iterator[str]:
    """Yield what the sums of a report lack, in words."""
    total = report.by["key"].total
    if missing := total.sum.uncounted:
        yield f"{count(missing, 'request')} did not say the tokens, which are not in the sums."
    if guessed := total.sum.estimated:
        yield f"The tokens of {count(guessed, 'request')} are estimated: the client or the gateway left before the end."
    if total.costs.money and (missing := total.costs.money_unknown):
        yield f"The price of {count(missing, 'request')} is unknown."
    if total.costs.kwh is not None and (missing := total.costs.energy_unknown):
        yield f"The energy of {count(missing, 'request')} is unknown; energy is declared, not measured."
    if report.damaged:
        yield f"{count(report.damaged, 'line')} of the ledger cannot be read, and are not in the sums."


def sums_table(
    rows: Mapping[str, Group], total: Group, *, title: str, name: str, shown_name: Callable[[str], h.Node] = safe
) -> h.Element:
    """Return a table with a row for each group, and the total. `name` is that of the groups; `title` of the table."""
    columns = _columns(total.costs)
    heads = ("Requests", "Errors", "Tokens in", "Cached", "Tokens out", "Unknown", "Estimated")
    ordered = list(rows.items())[:ROWS_MAX]
    return h.div(".scroll", tabindex="0", role="region", aria_label=title)[
        h.table(".sums")[
            h.thead[
                h.tr[
                    h.th(scope="col")[name],
                    (h.th(".number", scope="col")[each] for each in (*heads, *(column.title for column in columns))),
                ]
            ],
            h.tbody[
                (_row(shown_name(each), group, heads, columns) for each, group in ordered),
                len(rows) > ROWS_MAX
                and h.tr[
                    h.td(colspan=str(1 + len(heads) + len(columns)))[
                        f"{len(rows) - ROWS_MAX:,} more: `bateau usage` has them all."
                    ]
                ],
            ],
            h.tfoot[_row("total", total, heads, columns)],
        ]
    ]


def _row(name: h.Node, group: Group, heads: Sequence[str], columns: Sequence[_Column]) -> h.Element:
    found = group.sum
    numbers = (
        *(found.requests, found.errors, found.tokens_in, found.tokens_cached),
        *(found.tokens_out, found.uncounted, found.estimated),
    )
    return h.tr[
        h.th(scope="row")[name],
        (h.td(".number", data_name=head)[f"{value:,}"] for head, value in zip(heads, numbers, strict=True)),
        (h.td(".number", data_name=column.title)[_cost(column, group.costs)] for column in columns),
    ]


def _cost(column: _Column, costs: CostSum) -> h.Node:
    value, missing = column.of(costs), column.unknown(costs)
    return figure(None if value is None else float(value), partial(_exactly, value), least=missing > 0)


def _exactly(value: Decimal | None, _: float) -> str:
    return shown(value or Decimal(0))


def _least(value: int, *, least: bool) -> str:
    return f"≥ {value:,}" if least else f"{value:,}"


def chart(report: UsageReport) -> h.Element:
    """Return a picture of the requests by hour or day; the same figures are in the table by hour or day."""
    by, step, form = ("day", _DAY_S, "%Y-%m-%d") if report.last == "30d" else ("hour", _HOUR_S, "%Y-%m-%dT%H:00Z")
    found: Summary = report.by[by]
    first = datetime.fromtimestamp(report.since // step * step, UTC)
    slots = [
        first + timedelta(seconds=step * number) for number in range(int((report.until - report.since) // step) + 1)
    ]
    groups = [found.by.get(each.strftime(form), Group()) for each in slots]
    most = max((each.sum.requests for each in groups), default=0)
    width = len(slots) * (_BAR + _GAP)
    return h.figure(".chart")[
        h.svg(
            viewBox=f"0 0 {width} {_HEIGHT}",
            preserveAspectRatio="none",
            role="img",
            aria_label=f"Requests by {by}, at most {most:,} in one {by}",
        )[
            (
                _bar(number * (_BAR + _GAP), each.sum.requests, each.sum.errors, most, slot.strftime(form))
                for number, (slot, each) in enumerate(zip(slots, groups, strict=True))
                if each.sum.requests
            )
        ],
        h.figcaption[
            h.span[first.strftime("%Y-%m-%d %H:%M")],
            h.span[f"Requests by {by}: at most {most:,}"],
            h.span["now"],
        ],
    ]


def _bar(left: int, requests: int, errors: int, most: int, when: str) -> h.Element:
    height = max(1.0, _HEIGHT * requests / most)
    wrong = height * errors / requests
    says = f"{when}: {count(requests, 'request')}, {count(errors, 'error')}"
    return h.g[
        h.title[says],
        h.rect(".all", x=str(left), y=f"{_HEIGHT - height:.1f}", width=str(_BAR), height=f"{height - wrong:.1f}"),
        errors > 0
        and h.rect(".wrong", x=str(left), y=f"{_HEIGHT - wrong:.1f}", width=str(_BAR), height=f"{wrong:.1f}"),
    ]


def bar(share: float, *, tone: str = "") -> h.Element:
    """Return a bar that is filled to a share; the same is beside it as text."""
    full = max(0.0, min(1.0, share))
    return h.svg(class_=["meter", tone], viewBox="0 0 100 6", preserveAspectRatio="none", aria_hidden="true")[
        h.rect(".back", width="100", height="6"), h.rect(".used", width=f"{100 * full:.1f}", height="6")
    ]
