"""What a chart shows: the values of measures over an hour, a day or a week.

Made by wiring.charts; shown by ui. Pure.

Invariant: a rate is over the seconds that were measured, so that a step of which only a part is known does not look
idle. Held by tests/domain/test_charts.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log
from typing import Final

from bateau.domain.measures import Measure, Point

_EPSILON: Final = 1e-12
Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A length of time that charts show, in steps. `rows_s` is the step of tables, and charts change each `every_s`."""

    name: str
    title: str
    seconds: float
    step_s: float
    rows_s: float
    every_s: float


SPANS: Final[Mapping[str, Span]] = {
    each.name: each
    for each in (
        Span(name="hour", title="Hour", seconds=3600.0, step_s=30.0, rows_s=300.0, every_s=15.0),
        Span(name="day", title="Day", seconds=86_400.0, step_s=300.0, rows_s=3600.0, every_s=60.0),
        Span(name="week", title="Week", seconds=7 * 86_400.0, step_s=3600.0, rows_s=6 * 3600.0, every_s=300.0),
    )
}


@dataclass(frozen=True, kw_only=True)
class Charts:
    """The values of a service by the name of a measure: of a sum per second, of a gauge the largest in a step.

    The steps end at `begin` + n x `span.step_s`. `source` is where the values come from; `trouble` is why they do not
    come from another source, or may not be whole.
    """

    service: str
    span: Span
    begin: float
    values: Mapping[str, Values] = field(default_factory=dict[str, Values])
    source: str | None = None
    trouble: str | None = None

    @property
    def whens(self) -> Sequence[float]:
        """When the steps end."""
        return [self.begin + self.span.step_s * (at + 1) for at in range(self.count)]

    @property
    def count(self) -> int:
        """How many steps there are."""
        return round(self.span.seconds / self.span.step_s)

    def of(self, measure: Measure) -> Values:
        """Return the values of a measure, None for those that are not known."""
        return self.values.get(measure.name, (None,) * self.count)

    def rows(self, measure: Measure) -> Values:
        """Return the values for a table, which has fewer steps: averages of rates, and largest values of gauges."""
        return coarser(self.of(measure), round(self.span.rows_s / self.span.step_s), mean=measure.kind == "sum")


def window(span: Span, last: float) -> tuple[float, float]:
    """Return when a chart begins and ends that has a point of `last`: at whole steps.

    >>> window(SPANS["hour"], 10_000.0)
    (6420.0, 10020.0)
    """
    end = ceil(last / span.step_s) * span.step_s
    return end - span.seconds, end


def drawn(measure: Measure, points: Sequence[Point]) -> Values:
    """Return points as the values of a chart.

    >>> from bateau.domain.measures import CPU, MEMORY
    >>> drawn(CPU, [Point(when_s=30.0, value=6.0, seconds=15.0), Point(when_s=60.0, value=None)])
    (0.4, None)
    >>> drawn(MEMORY, [Point(when_s=30.0, value=6.0, seconds=30.0)])
    (6.0,)
    """
    if measure.kind == "gauge":
        return tuple(each.value for each in points)
    return tuple(None if each.value is None or not each.seconds else each.value / each.seconds for each in points)


def coarser(values: Values, steps: int, *, mean: bool) -> Values:
    """Return the mean or the largest of each `steps` values.

    >>> coarser((1.0, None, 3.0, None, None, None), 3, mean=True)
    (2.0, None)
    """
    found: list[float | None] = []
    for at in range(0, len(values), steps):
        known = [each for each in values[at : at + steps] if each is not None]
        found.append((sum(known) / len(known) if mean else max(known)) if known else None)
    return tuple(found)


def ticks(largest: float, *, binary: bool = False, whole: bool = False) -> Sequence[float]:
    """Return two or three values for the lines of an axis from 0: the last is not less than `largest`.

    With `binary` they are round in a system of 1024, and with `whole` there is nothing between whole numbers.

    >>> ticks(0.7), ticks(37.0), ticks(0.0), ticks(3 * 2**20, binary=True), ticks(1, whole=True)
    ([0, 0.5, 1.0], [0, 20.0, 40.0], [0, 0.5, 1.0], [0, 2097152.0, 4194304.0], [0, 1.0])
    """
    if largest <= 0:
        largest = 1.0
    base = 1024.0 if binary else 1000.0
    unit = base ** floor(log(largest) / log(base) + _EPSILON)
    steps = (
        (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if binary else (1, 2, 4, 5, 10, 20, 40, 50, 100, 200, 400, 500)
    )
    top = next((unit * step for step in (*steps, base) if unit * step >= largest), largest)
    return [0, top] if whole and top <= 1 else [0, top / 2, top]
