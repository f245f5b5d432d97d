"""What charts show of points: rates over what was measured, and steps of tables."""

import pytest

from bateau.domain.charts import SPANS, Charts, coarser, drawn, ticks, window
from bateau.domain.measures import CPU, MEMORY, REQUESTS, Point


def test_a_rate_is_over_the_seconds_that_were_measured() -> None:
    points = [
        Point(when_s=3600.0, value=3600.0, seconds=3600.0),
        Point(when_s=7200.0, value=15.0, seconds=15.0),
        Point(when_s=10800.0, value=0.0, seconds=3600.0),
        Point(when_s=14400.0, value=None),
    ]
    assert drawn(REQUESTS, points) == (1.0, 1.0, 0.0, None)
    assert drawn(MEMORY, points) == (3600.0, 15.0, 0.0, None)


@pytest.mark.parametrize("name", list(SPANS))
def test_a_chart_has_whole_steps_and_includes_the_last_point(name: str) -> None:
    span = SPANS[name]
    for last in (1_790_000_000.0, 1_790_000_010.0, 1_790_000_399.9):
        begin, end = window(span, last)
        assert end - begin == span.seconds and end % span.step_s == 0
        assert begin < last <= end < last + span.step_s
        charts = Charts(service="app/shop", span=span, begin=begin)
        assert len(charts.whens) == charts.count == len(charts.of(CPU))
        assert charts.whens[-1] == end
        assert charts.count % round(span.rows_s / span.step_s) == 0, "the table has whole rows"


def test_a_table_has_the_mean_of_rates_and_the_largest_of_gauges() -> None:
    assert coarser((1.0, 3.0, None, 5.0), 2, mean=True) == (2.0, 5.0)
    assert coarser((1.0, 3.0, None, 5.0), 2, mean=False) == (3.0, 5.0)
    assert coarser((None, None), 2, mean=True) == (None,)


@pytest.mark.parametrize("largest", [1e-9, 0.003, 0.7, 1.0, 999.0, 1000.0, 1001.0, 123_456.0, 5e12])
@pytest.mark.parametrize("binary", [True, False])
def test_the_last_line_of_an_axis_is_not_below_the_largest_value(largest: float, binary: bool) -> None:
    marks = ticks(largest, binary=binary)
    assert marks[0] == 0 and marks[-1] >= largest * (1 - 1e-9)
    assert marks[-1] <= 2.6 * largest, "it does not leave most of a chart empty"
