"""The charts of a service: what they draw and say of values, and of those that are not known."""

import re
from dataclasses import replace

import pytest

from bateau.domain.charts import SPANS, Charts
from bateau.ui.page import View
from bateau.ui.reports import Reports
from control.world import app, external, model, world
from ui.test_pages import parts_of

BEGIN = 1_789_999_200.0


def charts(service: str = "model/chat", span: str = "hour", **values: tuple[float | None, ...]) -> Charts:
    """Return charts that begin with some values; the others are not known."""
    found = SPANS[span]
    count = round(found.seconds / found.step_s)
    whole = {name: each + (None,) * (count - len(each)) for name, each in values.items()}
    return Charts(service=service, span=found, begin=BEGIN, values=whole)


async def a_view(made: Charts | None, **specs: str) -> View:
    async with world(history=None, memory=None, **(specs or {"chat": model(), "shop": app()})) as w:
        await w.until(lambda: w.status.rolled_out)
        return View(status=w.status, release=w.control.release, reports=Reports(charts=made))


def figure(html: str, name: str) -> str:
    found = re.search(rf'<figure id="chart-{name}".*?</figure>', html, re.DOTALL)
    assert found, name
    return found[0]


def series(html: str, tone: str) -> str:
    found = re.search(rf'<path class="series {tone}"(?: d="([^"]*)")?', html)
    assert found, tone
    return found[1] or ""


async def test_a_gap_is_no_line_and_is_named() -> None:
    made = charts(requests=(1.0, 2.0, None, 3.0, None, 0.0, 0.0))
    html = parts_of(await a_view(made), "/services/model/chat")["charts"]
    shown = figure(html, "requests")
    line = series(shown, "one")
    assert line.count("M") == 3, "a line for each run"
    assert re.search(r"M[\d.]+ [\d.]+h0(?!\d)", line), "a value alone is a dot"
    assert shown.count('class="gap"') == 3
    (values,) = re.findall(r'data-values="([^"]*)"', shown)
    assert values.split("|")[:7] == ["1.0", "2.0", "not known", "3.0", "not known", "0", "0"]
    assert "latest Requests not known" in shown


async def test_without_requests_latency_is_not_unknown() -> None:
    made = charts(latency_p95=(0.25, None, None), answers=(1.0, 0.0, None))
    shown = figure(parts_of(await a_view(made), "/services/model/chat")["charts"], "latency")
    (values,) = re.findall(r'data-values="([^"]*)"', shown)
    assert values.split("|")[:3] == ["250 ms", "no requests", "not known"]
    assert shown.count('class="gap"') == 1


async def test_a_service_has_the_charts_that_apply() -> None:
    specs = {"chat": model(), "shop": app(), "big": external()}
    names = {
        "model/chat": "requests errors latency tokens waiting replicas cpu memory",
        "app/shop": "requests errors latency waiting replicas cpu memory",
        "model/big": "requests errors latency tokens waiting",
        "gateway/envoy": "replicas cpu memory",
    }
    for service, wanted in names.items():
        html = parts_of(await a_view(charts(service), **specs), f"/services/{service}")["charts"]
        assert re.findall(r'<figure id="chart-([\w-]+)"', html) == wanted.split(), service


@pytest.mark.parametrize(("span", "rows"), [("hour", 12), ("day", 24), ("week", 28)])
async def test_the_table_has_every_line_and_the_links_its_spans(span: str, rows: int) -> None:
    made = charts(span=span, requests=(4.0, 2.0), memory=(2.0**30,), replicas_ready=(2.0,))
    path = "/services/model/chat" if span == "hour" else f"/services/model/chat/{span}"
    html = parts_of(await a_view(made), path)["charts"]
    table = html.partition("<table>")[2].partition("</table>")[0]
    assert len(re.findall(r'<th class="number" scope="col">', table)) == 12
    body = re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2])
    assert len(body) == rows
    assert ">3.0<" in body[-1] and ">1 GiB<" in body[-1] and ">2<" in body[-1]
    assert "not known" in body[0]
    (here,) = re.findall(r'<a href="([^"]*)" aria-current="true">', html)
    assert here == f"/ui{path}#charts"


async def test_a_span_that_there_is_not_is_no_page() -> None:
    view = await a_view(charts())
    with pytest.raises(AssertionError):
        parts_of(view, "/services/model/chat/year")


async def test_trouble_and_the_source_are_said_as_text() -> None:
    made = replace(charts(), trouble="the server <b> does not answer", source="http://prometheus.example.org:9090")
    html = parts_of(await a_view(made), "/services/model/chat")["charts"]
    assert "the server &lt;b&gt; does not answer" in html
    assert "from http://prometheus.example.org:9090" in html


async def test_whole_things_have_no_fractions() -> None:
    made = charts(replicas_ready=(1.0, 2.0), replicas_wanted=(2.0, 2.0), active=(1.0, 12.0))
    html = parts_of(await a_view(made), "/services/model/chat")["charts"]
    assert re.findall(r'data-values="(\d+\|\d+)', figure(html, "replicas")) == ["2|2"]
    assert re.findall(r'data-values="(\d+\|\d+)', figure(html, "waiting")) == ["1|12"]
    assert re.search(r"M[\d.]+ [\d.]+H", series(figure(html, "replicas"), "good")), "a number of replicas is a step"


async def test_equal_charts_are_not_made_again() -> None:
    made = charts(requests=(1.0,))
    view = await a_view(made)
    assert parts_of(view, "/services/model/chat") == parts_of(replace(view), "/services/model/chat")
    assert "charts" not in parts_of(replace(view, reports=Reports()), "/services/model/chat")
