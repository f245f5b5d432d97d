"""Draw the requests and errors of the last hour as a line as small as a word.

Called by ui.pages.overview. Pure: equal values give the same text.

Requests are a line; each minute with errors has a bar, which is never too small to be seen. The largest value is at the
top. What a reader does not see stands beside it as text.

Invariant: where a value is not known there is a gap, and never a line at 0. Held by
tests/ui/test_sparkline.py::test_a_gap_is_no_line_and_is_named.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

import htpy as h

from bateau.domain.charts import Values
from bateau.domain.sparklines import COUNT, Sparkline
from bateau.ui.words import count, number

_STEP: Final = 2  # whole units keep the text of a page short
_WIDTH: Final = _STEP * (COUNT - 1)
_HEIGHT: Final = 20
_TOP: Final = 1
_BOTTOM: Final = 19
_BAR_MIN: Final = 3


def sparkline(shown: Sparkline) -> h.Element:
    """Return the drawing. At least one of its values is known."""
    largest = max(each for each in (*shown.requests, *shown.errors, 0.0) if each is not None) or 1.0
    errors = "".join(_bars(shown.errors, largest))
    return h.span(".spark", role="img", title=says(shown))[
        h.svg(aria_hidden="true", viewBox=f"0 0 {_WIDTH} {_HEIGHT}")[
            errors and h.path(".bad", d=errors), h.path(d="".join(_lines(shown.requests, largest)))
        ]
    ]


def says(shown: Sparkline) -> str:
    """Return the same as text. That of a service without requests does not change with the time."""
    known = [each for each in shown.requests if each is not None]
    unknown = len(shown.requests) - len(known)
    found = ["no requests in the last hour"]
    if any(known):
        latest = shown.requests[-1]
        found = [
            f"requests per second in the last hour: at most {number(max(known))}",
            f"{'not known' if latest is None else number(latest)} in the last minute",
        ]
    if wrong := sum(1 for each in shown.errors if each):
        found.append(f"errors in {count(wrong, 'minute')}")
    if unknown:
        found.append(f"not known for {count(unknown, 'minute')}")
    return ", ".join(found)


def _y(value: float, largest: float) -> int:
    return _BOTTOM - round((_BOTTOM - _TOP) * value / largest)


def _lines(values: Values, largest: float) -> Iterator[str]:
    """Yield the commands of a path: a line for each run of known values."""
    places = [None if value is None else (_STEP * at, _y(value, largest)) for at, value in enumerate(values)]
    for is_known, run in groupby(places, key=lambda each: each is not None):
        if is_known:
            yield from _line([each for each in run if each])


def _line(points: list[tuple[int, int]]) -> Iterator[str]:
    (x, y), *rest = points
    yield f"M{x} {y}"
    level = 0  # how far the line has gone without a change
    for _, below in rest:
        if below == y:
            level += _STEP
            continue
        if level:
            yield f"h{level}"
        yield f"l{_STEP} {below - y}"
        y, level = below, 0
    if level or not rest:
        yield f"h{level}"  # a line without length has round ends: a dot


def _bars(errors: Values, largest: float) -> Iterator[str]:
    for at, value in enumerate(errors):
        if value:
            height = max(_HEIGHT - _y(value, largest), _BAR_MIN)
            yield f"M{_STEP * at} {_HEIGHT}v-{height}"
