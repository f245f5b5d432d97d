"""The rows of a table apart: what is sent leads from one table to the other."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import htpy as h
from hypothesis import example, given
from hypothesis import strategies as st

from bateau.domain.figures import Figures, ServiceFigures
from bateau.ui.page import View
from bateau.ui.rows import FIRST, later, table_of
from ui.reports import SCRIPT
from ui.test_pages import parts_of

CELLS = st.sampled_from(["a", "b", SCRIPT, '"</tbody><tr id="r1">'])
ROWS = st.lists(st.tuples(st.integers(0, 9), CELLS), unique_by=lambda each: each[0])


def text_of(rows: list[tuple[int, str]], title: str = "Table") -> str:
    body = h.tbody("#all")[(h.tr(id=f"r{name}")[h.td[cell]] for name, cell in rows)]
    return str(h.section[h.h2[title], h.table[body]])


def applied(rows: Mapping[str, str], news: Mapping[str, Any]) -> dict[str, str]:
    """Do what the page does with news."""
    found = {**rows, **news["rows"]}
    return {name: found[name] for name in news["order"]} if news["order"] is not None else found


@given(ROWS, ROWS)
@example([(1, "a"), (2, "b")], [(2, "b"), (1, "a")])
def test_the_news_lead_from_one_table_to_the_other(before: list[tuple[int, str]], after: list[tuple[int, str]]) -> None:
    former, now = (table_of(text_of(each), "all") for each in (before, after))
    assert f"{now.before}{''.join(now.rows.values())}{now.behind}" == text_of(after)
    news = now.news(former)
    if before == after:
        assert news is None
    else:
        assert news is not None
        assert list(applied(former.rows, cast("Mapping[str, Any]", news)).items()) == list(now.rows.items())
        assert set(cast("dict[str, str]", news["rows"])) == {f"r{each[0]}" for each in set(after) - set(before)}


def test_a_table_that_changes_beside_its_rows_is_sent_whole() -> None:
    one, two = table_of(text_of([(1, "a")]), "all"), table_of(text_of([(1, "b")], title="Another"), "all")
    assert two.news(one) is None
    assert two.news(None) is None


def test_the_tables_of_pages_have_an_id_for_each_row(view: View) -> None:
    for path, part, name in (
        ("/", "services", "services-rows"),
        ("/machines", "use", "use-rows"),
        ("/usage", "keys", "keys-rows"),
    ):
        text = parts_of(view, path)[part]
        found = table_of(text, name)
        body = text.partition(f'<tbody id="{name}">')[2].partition("</tbody>")[0]
        assert len(found.rows) == body.count("<tr") > 0


def test_one_changed_service_is_one_row(view: View) -> None:
    busy = replace(view, figures=Figures(number=1, services={"app/shop": ServiceFigures(requests_per_s=41.6)}))
    former, now = (table_of(parts_of(each, "/")["services"], "services-rows") for each in (view, busy))
    news = now.news(former)
    assert news is not None
    assert (list(cast("dict[str, str]", news["rows"])), news["order"]) == (["row-app-shop"], None)


@given(st.integers(0, 3 * FIRST), CELLS)
@example(FIRST, "a")
@example(FIRST + 1, SCRIPT)
def test_rows_that_come_later_are_those_behind_the_first_ones(number: int, cell: str) -> None:
    rows = [(each, cell) for each in range(number)]
    text = "".join([text_of(rows)]).replace('id="all"', 'id="all-rows"')
    found = later(text)
    assert found.replace('<template class="later">', "").replace("</template>", "") == text
    first, _, rest = found.partition("<template")
    assert (first.count("<tr "), rest.count("<tr ")) == (min(number, FIRST), max(0, number - FIRST))
