"""The rows of a table apart from the part that they are in, so that a change of one row is sent as one row.

Called by ui.

Invariant: a table to which the news were applied is the one that the news are of. Held by
tests/ui/test_rows.py::test_the_news_lead_from_one_table_to_the_other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_ROW: Final = '<tr id="'
_END: Final = "</tbody>"
FIRST: Final = 60  # rows that fill a large screen
_BODY: Final = re.compile('(<tbody id="[^"]+-rows">)(.*?)(?=</tbody>)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Table:
    """A part as text: its rows by their ids, in their order, and the text before and behind them."""

    name: str
    before: str
    rows: Mapping[str, str]
    behind: str

    def news(self, former: "Table | None") -> Mapping[str, object] | None:
        """Return how its rows differ from those of a former one; None if more than rows differ, or nothing.

        `rows` has the text of new and changed ones. `order` has all ids if they are not the same as before.
        """
        if former is None or (former.before, former.behind) != (self.before, self.behind):
            return None
        changed = {name: text for name, text in self.rows.items() if former.rows.get(name) != text}
        order = None if list(former.rows) == list(self.rows) else list(self.rows)
        return {"of": self.name, "rows": changed, "order": order} if changed or order is not None else None


def table_of(text: str, name: str) -> Table:
    """Return a part apart. htpy has made the text, so that nothing but a row looks like one."""
    start, mark, rest = text.partition(f'<tbody id="{name}">')
    rows, end, behind = rest.partition(_END)
    each = rows.split(_ROW)
    found = {row.partition('"')[0]: f"{_ROW}{row}" for row in each[1:]}
    return Table(name, f"{start}{mark}{each[0]}", found, f"{end}{behind}")


def later(text: str) -> str:
    """Return a page whose rows beyond the first ones are in templates, which a browser does not lay out.

    htpy has made the text, so that nothing but a row looks like one.
    """
    return _BODY.sub(_later, text)


def _later(body: re.Match[str]) -> str:
    start, rows = body.groups()
    before, *each = rows.split("<tr")
    if len(each) <= FIRST:
        return body[0]
    first, rest = ("".join(f"<tr{row}" for row in some) for some in (each[:FIRST], each[FIRST:]))
    return f"{start}{before}{first}{waiting(rest)}"


def waiting(text: str) -> str:
    """Return a part of a page in a template, which a script puts in its place once the page is painted."""
    return f'<template class="later">{text}</template>'
