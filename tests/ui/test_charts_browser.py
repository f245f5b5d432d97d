"""Charts and sparklines in a real browser: values for a pointer and for keys, by themselves, on a phone, for all."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bateau.domain.measures import INTERVAL_S
from bateau.store.measure_writer import MeasureWriter
from bateau.wiring.measures import measures_path
from bateau.wiring.paths import make, paths
from local.stack import Stack
from ui.chromium import Visitor, axe_findings

SHOP = "/services/app/shop"
PHONE = {"width": 390, "height": 800}
SPEC = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec:
  command: [python3, -m, http.server, -b, 127.0.0.1, "${ ports.http }"]
  ports: {http: {protocol: http}}
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """An instance with an hour of history, of which some minutes are missing."""
    made = Stack(Path.home() / ".cache")
    made.write(SPEC, "shop.yaml")
    where = paths(made.name, made.environ)
    make(where)
    writer, now = MeasureWriter(measures_path(where), time.time), time.time() // INTERVAL_S * INTERVAL_S
    for ago in range(240, 4, -1):
        if not 60 < ago < 80:
            rows = {"requests": 30.0, "server_errors": float(ago % 2), "memory": 2.0**28, "cpu": 1.5, "active": 3.0}
            rows |= {"client_errors": 0.0} if ago > 200 else {}
            writer.add(now - INTERVAL_S * ago, {"app/shop": {**rows, "replicas_wanted": 1.0, "replicas_ready": 1.0}})
        if not ago % 40:
            time.sleep(0.2)
    writer.close()
    done = made.up()
    assert done.code == 0, done.err
    yield made
    made.destroy()


@pytest.fixture
def visitor(browser: Browser, stack: Stack) -> Iterator[Visitor]:
    made = Visitor(browser, stack)
    yield made
    assert made.complaints == [], "no script failed, and the policy forbade nothing"
    made.context.close()


def _readout(page: Page, chart: str) -> str:
    return re.sub(r"\s+", " ", page.locator(f"#chart-{chart} .legend").inner_text())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_charts(browser: Browser, stack: Stack, scheme: str) -> None:
    for size in ({"width": 1280, "height": 900}, PHONE):
        visitor = Visitor(browser, stack, color_scheme=scheme, viewport=size)
        for path in (SHOP, f"{SHOP}/day", f"{SHOP}/week"):
            page = visitor.visit(path)
            page.locator("#charts-table summary").click()
            expect(page.locator("#charts-table table")).to_be_visible()
            assert axe_findings(visitor.page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        visitor.context.close()


def test_a_pointer_reads_the_values_and_leaves_the_latest(visitor: Visitor) -> None:
    page = visitor.visit(SHOP)
    chart = page.locator("#chart-errors svg")
    box = chart.bounding_box()
    assert box
    latest = _readout(page, "errors")
    chart.hover(position={"x": box["width"] * 0.5, "y": 50})
    assert re.fullmatch(r"\d\d:\d\d:\d\d 4xx not known 5xx 0\.033", _readout(page, "errors"))
    expect(page.locator("#chart-errors.is-read .cursor")).to_have_css("display", "block")
    expect(page.locator(".is-read")).to_have_count(1)
    page.mouse.move(5, 5)
    expect(page.locator(".is-read")).to_have_count(0)
    after = _readout(page, "errors")
    # The same point as before, or a live one of an app without requests.
    assert after == latest or re.fullmatch(r"4xx (0|not known) 5xx (0|not known)", after)


def test_keys_read_the_values_aloud(visitor: Visitor) -> None:
    page = visitor.visit(SHOP)
    chart, says = page.locator("#chart-memory svg"), page.locator("#charts-cursor")
    chart.focus()
    page.keyboard.press("Home")
    expect(says).to_have_text(re.compile(r"^\d\d:\d\d:\d\d: (256 MiB|not known)$"))
    first = says.inner_text()
    page.keyboard.press("ArrowRight")
    expect(says).not_to_have_text(first)
    for _ in range(20):  # the first steps of the hour may be before the history
        if says.inner_text().endswith(": 256 MiB"):
            break
        page.keyboard.press("ArrowRight")
    expect(says).to_have_text(re.compile(r": 256 MiB$"))
    for _ in range(20):
        page.keyboard.press("PageDown")
    last = says.inner_text()
    page.keyboard.press("End")
    assert says.inner_text() == last
    page.keyboard.press("Escape")
    expect(page.locator(".is-read")).to_have_count(0)


def test_charts_continue_by_themselves_and_keep_what_is_read_and_open(visitor: Visitor) -> None:
    page = visitor.visit(SHOP)
    page.locator("#charts-table summary").click()
    chart = page.locator("#chart-memory svg")
    chart.focus()
    page.keyboard.press("Home")
    before = chart.get_attribute("data-whens")
    page.wait_for_function(
        "(before) => document.querySelector('#chart-memory svg').dataset.whens !== before", arg=before, timeout=60_000
    )
    expect(chart).to_be_focused()
    expect(page.locator("#chart-memory.is-read")).to_have_count(1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d 256 MiB", _readout(page, "memory"))
    expect(page.locator("#charts-table table")).to_be_visible()


def test_links_change_the_span_and_gaps_are_shaded(visitor: Visitor) -> None:
    page = visitor.visit(SHOP)
    assert page.locator("#chart-requests .gap").count() >= 1
    page.get_by_role("link", name="Week", exact=True).click()
    page.wait_for_url(f"**{SHOP}/week#charts")
    expect(page.get_by_role("link", name="Week", exact=True)).to_have_attribute("aria-current", "true")
    assert len((page.locator("#chart-cpu svg").get_attribute("data-whens") or "").split("|")) == 168
    page.get_by_role("link", name="Hour", exact=True).click()
    page.wait_for_url(f"**{SHOP}#charts")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_overview_has_the_last_hour_of_each_service(browser: Browser, stack: Stack, scheme: str) -> None:
    for size in ({"width": 1280, "height": 900}, PHONE):
        visitor = Visitor(browser, stack, color_scheme=scheme, viewport=size)
        page = visitor.visit("/")
        drawing = page.locator("#row-app-shop").get_by_role("img")
        # At first the history is read.
        expect(drawing).to_have_accessible_name(
            re.compile(
                r"^requests per second in the last hour: at most 2\.0, .+, errors in \d+ minutes, not known for "
            )
        )
        box = drawing.bounding_box()
        assert box and box["width"] >= 100 and 15 <= box["height"] <= 24
        line, bars = page.locator("#row-app-shop .spark path:not(.bad)"), page.locator("#row-app-shop .spark .bad")
        assert (line.get_attribute("d") or "").count("M") >= 2, "a gap"
        assert line.evaluate("(each) => getComputedStyle(each).stroke") != bars.evaluate(
            "(each) => getComputedStyle(each).stroke"
        )
        expect(page.locator("#row-gateway-envoy .spark")).to_have_count(0)
        assert axe_findings(visitor.page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert visitor.complaints == []
        visitor.context.close()
