"""Charts of a service as SVG: requests, errors, latency, tokens, replicas, what waits, CPU and memory.

Called by ui.pages.service_page.

Each chart has its values as text too: at the cursor, for a pointer and for keys (assets/charts.js), and in a table.

Invariant: where a value is not known there is a gap, and never a line at 0. Held by
tests/ui/test_charts.py::test_a_gap_is_no_line_and_is_named.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Final

import htpy as h

from bateau.domain import measures as m
from bateau.domain.charts import SPANS, Charts, Span, Values, ticks
from bateau.domain.measures import Measure
from bateau.ui.page import Part, View
from bateau.ui.words import DASH, duration, memory, number, safe

_WIDTH: Final = 300
_HEIGHT: Final = 124
_LEFT: Final = 44
_RIGHT: Final = 8
_TOP: Final = 8
_BOTTOM: Final = 20
_UNKNOWN: Final = "not known"
_NOTHING: Final = "no requests"
_THOUSANDS: Final = 10_000  # from here on, labels of an axis are in thousands
_EDGE: Final = 8  # no label of the time axis is closer to an end
_TIMES: Final = {"hour": (900, "%H:%M"), "day": (6 * 3600, "%H:%M"), "week": (86_400, "%a")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a chart: its name in the legend, the class of its colour, and its measure."""

    name: str
    tone: str
    measure: Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart. `unit` follows its title; `binary` and `whole` are as in `domain.charts.ticks`.

    `counted` is what a value needs one of: where it is 0, a missing value is known to be missing.
    With `stairs`, a value holds until the next one.
    """

    name: str
    title: str
    unit: str
    lines: Sequence[Line]
    shown: Callable[[float], str]
    binary: bool = False
    whole: bool = False
    counted: Measure | None = None
    stairs: bool = False


def _whole(value: float) -> str:
    return f"{value:,.0f}"


_REQUESTS: Final = Chart(
    name="requests",
    title="Requests",
    unit="per second",
    lines=(Line(name="Requests", tone="one", measure=m.REQUESTS),),
    shown=number,
)
_ERRORS: Final = Chart(
    name="errors",
    title="Errors",
    unit="per second",
    lines=(
        Line(name="4xx", tone="warn", measure=m.CLIENT_ERRORS),
        Line(name="5xx", tone="bad", measure=m.SERVER_ERRORS),
    ),
    shown=number,
)
_FIRST_TOKEN: Final = Chart(
    name="latency",
    title="First token p95",
    unit="",
    lines=(Line(name="p95", tone="one", measure=m.LATENCY_P95),),
    shown=duration,
    counted=m.ANSWERS,
)
_FIRST_BYTE: Final = replace(_FIRST_TOKEN, title="First byte p95")
_TOKENS: Final = Chart(
    name="tokens",
    title="Tokens",
    unit="per second",
    lines=(
        Line(name="Out", tone="one", measure=m.OUTPUT_TOKENS),
        Line(name="In", tone="two", measure=m.INPUT_TOKENS),
    ),
    shown=number,
)
_WAITING: Final = Chart(
    name="waiting",
    title="In flight",
    unit="",
    lines=(
        Line(name="Active", tone="one", measure=m.ACTIVE),
        Line(name="Waiting", tone="warn", measure=m.WAITING),
    ),
    shown=_whole,
    whole=True,
)
_ACTIVE: Final = replace(_WAITING, lines=_WAITING.lines[:1])
_REPLICAS: Final = Chart(
    name="replicas",
    title="Replicas",
    unit="",
    lines=(
        Line(name="Wanted", tone="aim", measure=m.REPLICAS_WANTED),
        Line(name="Ready", tone="good", measure=m.REPLICAS_READY),
    ),
    shown=_whole,
    whole=True,
    stairs=True,
)
_CPU: Final = Chart(
    name="cpu", title="CPU", unit="cores", lines=(Line(name="Cores", tone="one", measure=m.CPU),), shown=number
)
_MEMORY: Final = Chart(
    name="memory",
    title="Memory",
    unit="",
    lines=(Line(name="Memory", tone="one", measure=m.MEMORY),),
    shown=memory,
    binary=True,
)


def charts_of(view: View, service: str) -> Iterator[Chart]:
    """Yield the charts that a service can have."""
    status, has_requests = view.services[service], view.has_requests(service)
    if has_requests:
        yield from (_REQUESTS, _ERRORS)
        yield _FIRST_TOKEN if view.is_model(service) else _FIRST_BYTE
    if view.is_model(service):
        yield _TOKENS
    if has_requests:
        yield _WAITING if view.is_model(service) and status.engine != "external" else _ACTIVE
    if status.engine != "external":
        yield from (_REPLICAS, _CPU, _MEMORY)


def chart_parts(view: View, service: str) -> list[Part]:
    """Return the part with the charts of a service, if its page has some."""
    charts = view.reports.charts
    if charts is None:
        return []
    chosen = tuple(charts_of(view, service))
    return [
        Part(id="charts", make=partial(_section, charts, chosen), of=(charts, view.release)),
        Part(id="charts-cursor", make=_cursor, live=False),
    ]


def _cursor() -> h.Element:
    """Return where a screen reader hears the values at the cursor: not in the part that changes by itself."""
    return h.section("#charts-cursor.sr", role="status", aria_label="Values at the cursor")


def _section(charts: Charts, chosen: Sequence[Chart]) -> h.Element:
    return h.section("#charts.charts", aria_labelledby="charts-title")[
        h.div(".bar")[
            h.h2("#charts-title")["History"],
            h.span(".note")["times in UTC", charts.source and f" · from {safe(charts.source)}", " · shaded: not known"],
            h.nav(".spans", aria_label="Time that is shown")[(_span(charts, each) for each in SPANS.values())],
        ],
        charts.trouble and h.p(".says.warn")[safe(charts.trouble)],
        h.div(".grid")[(_figure(charts, each) for each in chosen)],
        h.details("#charts-table", data_keep="open")[
            h.summary["As a table"],
            h.div(".scroll", tabindex="0", role="region", aria_label="Table of the history")[_table(charts, chosen)],
        ],
    ]


def _span(charts: Charts, span: Span) -> h.Element:
    here = f"/ui/services/{charts.service}"
    address = here if span.name == "hour" else f"{here}/{span.name}"
    return h.a(href=f"{address}#charts", aria_current="true" if span is charts.span else None)[span.title]


def _figure(charts: Charts, chart: Chart) -> h.Element:
    lines = [(line, charts.of(line.measure)) for line in chart.lines]
    largest = max((value for _, values in lines for value in values if value is not None), default=0.0)
    marks = ticks(largest, binary=chart.binary, whole=chart.whole)
    texts = [_texts(chart, values, charts.of(chart.counted) if chart.counted else None) for _, values in lines]
    name = f"chart-{chart.name}"
    says = ", ".join(f"{line.name} {text[-1]}" for (line, _), text in zip(lines, texts, strict=True))
    return h.figure(f"#{name}.plot")[
        h.figcaption(f"#{name}-title")[
            h.span(".title")[chart.title, chart.unit and h.span(".kind")[chart.unit]],
            h.span(".legend")[
                (
                    h.span(class_=["line", line.tone])[len(lines) > 1 and f"{line.name} ", h.span(".value")[text[-1]]]
                    for (line, _), text in zip(lines, texts, strict=True)
                )
            ],
        ],
        h.svg(
            viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
            role="img",
            tabindex="0",
            aria_label=f"{chart.title} {chart.unit}: latest {says}. Arrow keys move through the values.",
            data_whens="|".join(_time(charts.span, when) for when in charts.whens),
            data_names="|".join(line.name if len(lines) > 1 else "" for line, _ in lines),
            data_values="\n".join("|".join(each) for each in texts),
            data_box=f"{_LEFT} {_WIDTH - _RIGHT} {_TOP} {_HEIGHT - _BOTTOM}",
        )[
            _unknown([*(values for _, values in lines), *([charts.of(chart.counted)] if chart.counted else [])]),
            (_grid(chart, mark, marks[-1]) for mark in marks),
            _times(charts),
            (_drawn(line, values, marks[-1], stairs=chart.stairs) for line, values in lines),
            h.line(".cursor", x1="0", x2="0", y1=str(_TOP), y2=str(_HEIGHT - _BOTTOM)),
        ],
    ]


def _x(at: float, count: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / max(count - 1, 1)


def _y(value: float, top: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value / top)


def _grid(chart: Chart, mark: float, top: float) -> h.Node:
    y = f"{_y(mark, top):.1f}"
    return [
        h.line(".grid-line", x1=str(_LEFT), x2=str(_WIDTH - _RIGHT), y1=y, y2=y),
        h.text(".axis", x=str(_LEFT - 6), y=y, text_anchor="end", dominant_baseline="middle")[_short(chart, mark)],
    ]


def _short(chart: Chart, mark: float) -> str:
    if not mark:
        return "0"
    if chart.shown is number:
        return f"{mark:g}" if mark < _THOUSANDS else f"{mark / 1000:g}k"
    return chart.shown(mark).replace(".0 ", " ")


def _times(charts: Charts) -> Iterator[h.Element]:
    every_s, form = _TIMES[charts.span.name]
    for at, when in enumerate(charts.whens):
        x = _x(at, charts.count)
        if not when % every_s and _LEFT + _EDGE < x < _WIDTH - _RIGHT - _EDGE:
            yield h.text(".axis", x=f"{x:.1f}", y=str(_HEIGHT - 5), text_anchor="middle")[
                f"{datetime.fromtimestamp(when, UTC):{form}}"
            ]


def _unknown(lines: Sequence[Values]) -> Iterator[h.Element]:
    """Yield a shaded area wherever no line has a value."""
    known = [any(value is not None for value in values) for values in zip(*lines, strict=True)]
    half = (_x(1, len(known)) - _x(0, len(known))) / 2
    for is_known, run in groupby(range(len(known)), key=lambda at: known[at]):
        if not is_known:
            found = list(run)
            begins = max(_x(found[0], len(known)) - half, _LEFT)
            ends = min(_x(found[-1], len(known)) + half, _WIDTH - _RIGHT)
            yield h.rect(
                ".gap",
                x=f"{begins:.1f}",
                y=str(_TOP),
                width=f"{ends - begins:.1f}",
                height=str(_HEIGHT - _TOP - _BOTTOM),
            )


def _drawn(line: Line, values: Values, top: float, *, stairs: bool) -> h.Element:
    points = [
        None if value is None else (f"{_x(at, len(values)):.1f}", f"{_y(value, top):.1f}")
        for at, value in enumerate(values)
    ]
    runs = [[each for each in run if each] for is_known, run in groupby(points, key=bool) if is_known]
    return h.path(class_=["series", line.tone], d=" ".join(_run(run, stairs=stairs) for run in runs) or None)


def _run(points: Sequence[tuple[str, str]], *, stairs: bool) -> str:
    (x, y), *rest = points
    if not rest:
        return f"M{x} {y}h0"  # a line without length has round ends: a dot
    return f"M{x} {y}" + "".join(f"H{x}V{y}" if stairs else f"L{x} {y}" for x, y in rest)


def _time(span: Span, when: float) -> str:
    at = datetime.fromtimestamp(when, UTC)
    return f"{at:%H:%M:%S}" if span.name == "hour" else f"{at:%H:%M}" if span.name == "day" else f"{at:%d %b %H:%M}"


def _texts(chart: Chart, values: Values, counted: Values | None) -> Sequence[str]:
    """Return values as text. Where there was nothing to measure, a missing value is not unknown."""
    counts = counted or (None,) * len(values)
    return [
        chart.shown(value) if value is not None else _NOTHING if count == 0 else _UNKNOWN
        for value, count in zip(values, counts, strict=True)
    ]


def _table(charts: Charts, chosen: Sequence[Chart]) -> h.Element:
    lines = [
        (chart, line, _texts(chart, charts.rows(line.measure), charts.rows(chart.counted) if chart.counted else None))
        for chart in chosen
        for line in chart.lines
    ]
    steps = round(charts.span.rows_s / charts.span.step_s)
    whens = [charts.whens[min(at + steps, charts.count) - 1] for at in range(0, charts.count, steps)]
    return h.table[
        h.thead[
            h.tr[
                h.th(scope="col")["Until (UTC)"],
                (
                    h.th(".number", scope="col")[
                        chart.title if len(chart.lines) == 1 else f"{chart.title}: {line.name}",
                        chart.unit and f", {chart.unit}",
                    ]
                    for chart, line, _ in lines
                ),
            ]
        ],
        h.tbody[
            (
                h.tr[
                    h.th(scope="row")[_time(charts.span, when)],
                    (h.td(".number")[_cell(texts[at])] for _, _, texts in lines),
                ]
                for at, when in reversed(list(enumerate(whens)))
            )
        ],
    ]


def _cell(text: str) -> h.Node:
    if text in (_UNKNOWN, _NOTHING):
        return h.span(".unknown")[h.span(aria_hidden="true")[DASH], h.span(".sr")[text]]
    return text
