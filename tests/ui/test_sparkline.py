"""The sparklines of the overview: what they draw and say of values, of errors, and of what is not known."""

import re
from dataclasses import replace

from bateau.domain.charts import Values
from bateau.domain.sparklines import COUNT, Sparkline
from bateau.ui.page import View
from bateau.ui.reports import Reports
from bateau.ui.sparkline import says, sparkline
from control.world import app
from ui.served import a_view
from ui.test_pages import parts_of

IDLE: Values = (0.0,) * COUNT


def hour(*latest: float | None, errors: Values = (), before: float | None = 0.0) -> Sparkline:
    """Return an hour that ends with some requests and errors."""

    def whole(values: Values) -> Values:
        return (before,) * (COUNT - len(values)) + values

    return Sparkline(requests=whole(latest), errors=whole(errors))


def drawn(shown: Sparkline) -> str:
    (line,) = re.findall(r'<path d="([^"]*)"', str(sparkline(shown)))
    return line


def bars(shown: Sparkline) -> str:
    (line,) = re.findall(r'<path class="bad" d="([^"]*)"', str(sparkline(shown)))
    return line


def with_hours(view: View, **of: Sparkline) -> View:
    found = {name.replace("_", "/"): each for name, each in of.items()}
    return replace(view, reports=Reports(sparklines=found))


def cell(view: View, row: str) -> str:
    found = parts_of(view, "/")["services"].partition(f'<tr id="{row}">')[2].partition("</tr>")[0]
    return found.partition('data-name="Last hour">')[2].partition("</td>")[0]


def test_a_gap_is_no_line_and_is_named() -> None:
    shown = hour(1.0, 2.0, None, 3.0, None, 0.0, 0.0, before=None)
    assert drawn(shown) == "M106 13l2 -6M112 1h0M116 19h2", "a line for each run, a dot, and 0 only where it is known"
    text = says(shown)
    assert text == "requests per second in the last hour: at most 3.0, 0 in the last minute, not known for 55 minutes"
    assert says(hour(1.0, None)).endswith("not known in the last minute, not known for 1 minute")


def test_a_line_is_from_the_first_minute_to_the_last_and_as_high_as_its_largest_value() -> None:
    assert drawn(hour(4.0, 8.0)) == "M0 19h114l2 -9l2 -9"
    assert drawn(hour(8.0, 8.0, before=8.0)) == "M0 1h118"


def test_without_requests_nothing_changes_with_the_time() -> None:
    assert drawn(Sparkline(requests=IDLE, errors=IDLE)) == "M0 19h118"
    assert says(Sparkline(requests=IDLE, errors=IDLE)) == "no requests in the last hour"
    assert 'class="bad"' not in str(sparkline(Sparkline(requests=IDLE, errors=IDLE)))


def test_a_single_error_among_many_requests_can_be_seen() -> None:
    shown = hour(9000.0, 9000.0, 9000.0, errors=(0.0, 0.02, None))
    assert bars(shown) == "M116 20v-3"
    assert says(shown).endswith("9,000 in the last minute, errors in 1 minute")
    assert bars(hour(4.0, errors=(4.0,))) == "M118 20v-19"


async def test_a_row_has_the_hour_of_its_service() -> None:
    view = await a_view(
        shop=app(), store=app("store", command=["store", "${ ports.db }"], ports={"db": {"protocol": "tcp"}})
    )
    assert "unknown" in cell(view, "row-app-shop"), "the history has not been read"
    assert "does not apply" in cell(view, "row-app-store") and "does not apply" in cell(view, "row-gateway-envoy")
    view = with_hours(view, app_shop=hour(3.0, errors=(1.0,)))
    shown = cell(view, "row-app-shop")
    (title,) = re.findall(r'role="img" title="([^"]*)"', shown)
    assert title == "requests per second in the last hour: at most 3.0, 3.0 in the last minute, errors in 1 minute"
    # The filter of the table looks at the text of a row.
    assert re.sub(r"<[^>]*>", "", shown) == ""
    assert "unknown" in cell(with_hours(view, app_shop=hour(before=None)), "row-app-shop"), "an hour without any value"
    assert "unknown" in cell(with_hours(view), "row-app-shop"), "a service that is new"


async def test_a_minute_changes_the_rows_of_services_with_requests_only() -> None:
    view = await a_view(shop=app(), idle=app("idle"))
    nothing = Sparkline(requests=IDLE, errors=IDLE)
    before = with_hours(view, app_shop=hour(3.0), app_idle=nothing)
    after = with_hours(view, app_shop=hour(3.0, 0.0), app_idle=replace(nothing))
    assert cell(before, "row-app-idle") == cell(after, "row-app-idle")
    assert cell(before, "row-app-shop") != cell(after, "row-app-shop")
