"""How the time of the whole way grows with the number of services, in one environment, and the plot of it.

Each measurement has a process of its own, so that none finds what another kept; sizes take turns.
"""

import math
import multiprocessing
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.delivery import specs
from bench.report import circumstances, figure
from bench.whole import bundled, laid_out

SIZES = (100, 300, 1000, 2000, 5000)
RUNS = 3
PLOT = Path(__file__).parent.parent / "docs/_static/growth.svg"
# The plot, in pixels and in powers of ten.
_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 610, 56, 326
_SERVICES = (math.log10(70), math.log10(7000))


def main() -> None:
    """Measure, report, and draw."""
    runs: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(RUNS):
        for size in SIZES:
            runs[size].append(_in_new_process(size))
    for size, seconds in runs.items():
        figure(f"{size:,} services in one environment: the whole way", seconds, unit="s")
    slopes = [slope({size: seconds[number] for size, seconds in runs.items()}) for number in range(RUNS)]
    figure(
        f"growth of the whole way from {SIZES[0]:,} to {SIZES[-1]:,} services, as a power",
        slopes,
        unit="",
        at_most=1.1,
        note="1 is linear, 2 quadratic: the slope of the line through the logarithms of services and seconds",
    )
    PLOT.write_text(plot(runs, power=statistics.median(slopes)), encoding="utf-8")


def slope(seconds: Mapping[int, float]) -> float:
    """Return the power with which the seconds grow: the least squares of their logarithms.

    >>> round(slope({100: 0.1, 1000: 1.0, 5000: 5.0}), 3)
    1.0
    """
    return statistics.linear_regression(
        [math.log(size) for size in seconds], [math.log(each) for each in seconds.values()]
    ).slope


def _in_new_process(services: int) -> float:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, services).result()


def _measure(services: int) -> float:
    """Return the seconds of one cold run, after a small one that has everything imported."""
    seconds = 0.0
    for texts in (specs(10, tag="0"), specs(services)):
        with laid_out(texts) as directory, tempfile.TemporaryDirectory() as cache:
            seconds = bundled(directory, Path(cache), ["e0"])
    return seconds


def plot(runs: Mapping[int, Sequence[float]], *, power: float) -> str:
    """Return an SVG of the runs on logarithmic axes, beside linear growth from the median of the least."""
    medians = {size: statistics.median(seconds) for size, seconds in runs.items()}
    first, last = min(medians), max(medians)
    linear = {first: medians[first], last: medians[first] / first * last}
    every = [*linear.values(), *(each for seconds in runs.values() for each in seconds)]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))

    def x(services: float) -> float:
        least, most = _SERVICES
        return _LEFT + (math.log10(services) - least) / (most - least) * (_RIGHT - _LEFT)

    def y(seconds: float) -> float:
        return _BOTTOM - (math.log10(seconds) - low) / (high - low) * (_BOTTOM - _TOP)

    line, path = (
        "L".join(f"{x(size):.1f} {y(seconds):.1f}" for size, seconds in each.items()) for each in (linear, medians)
    )
    seconds_ticks = [(y(10.0**each), f"{10.0**each:g}") for each in range(low, high + 1)]
    ticks = [
        *(_tick_below(x(size), f"{size:,}") for size in runs),
        *(_tick_left(at, label) for at, label in seconds_ticks),
    ]
    points = (_point(x(size), [y(each) for each in seconds]) for size, seconds in runs.items())
    where = circumstances()
    return _SVG.format(
        width=_WIDTH,
        height=_HEIGHT,
        power=f"{power:.2f}",
        said=", ".join(f"{size:,} services {medians[size]:.3g} s" for size in medians),
        runs=len(next(iter(runs.values()))),
        machine=f"{where['machine'].partition(', Linux')[0]}, {where['day']}, version {where['version']}",
        left=_LEFT,
        top=_TOP,
        across=_RIGHT - _LEFT,
        down=_BOTTOM - _TOP,
        below=_BOTTOM + 42,
        legend=_LEFT + 14,
        legend_text=_LEFT + 50,
        middle=(_LEFT + _RIGHT) / 2,
        centre=(_TOP + _BOTTOM) / 2,
        ticks=_lines(ticks),
        line=line,
        path=path,
        points=_lines(points),
    )


def _tick_below(at: float, label: str) -> str:
    return (
        f'<path d="M{at:.1f} {_TOP}V{_BOTTOM}"/>'
        f'<text x="{at:.1f}" y="{_BOTTOM + 20}" text-anchor="middle" stroke="none">{label}</text>'
    )


def _tick_left(at: float, label: str) -> str:
    return (
        f'<path d="M{_LEFT} {at:.1f}H{_RIGHT}"/>'
        f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end" stroke="none">{label}</text>'
    )


def _point(at: float, seconds: Sequence[float]) -> str:
    """Return the median as a dot, and the least and the most as the ends of a bar through it."""
    least, most = max(seconds), min(seconds)  # the y of a picture grows downwards
    bar = f"M{at:.1f} {least:.1f}V{most:.1f}M{at - 5:.1f} {least:.1f}h10M{at - 5:.1f} {most:.1f}h10"
    return f'<path d="{bar}"/><circle cx="{at:.1f}" cy="{statistics.median(seconds):.1f}" r="4"/>'


def _lines(parts: Iterable[str]) -> str:
    return "\n    ".join(parts)


# Its own ground, as the other pictures have: it is read on light and on dark pages.
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title desc" \
font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="12">
  <title id="title">Time of the whole way, by the number of services</title>
  <desc id="desc">Both axes are logarithmic. Medians: {said}. They grow with the power {power} of the services.</desc>
  <rect width="{width}" height="{height}" rx="10" fill="#fbfaf7"/>
  <text x="{left}" y="24" font-size="14" font-weight="600" fill="#10202b">Read, hydrate, render, schemas, 20 rules, \
write: one environment</text>
  <text x="{left}" y="42" fill="#45535d">{runs} runs each: median, least and most. Time grows as services to the \
power {power}.</text>
  <g stroke="#d5d2c8" fill="none">
    <rect x="{left}" y="{top}" width="{across}" height="{down}"/>
  </g>
  <g stroke="#d5d2c8" fill="#10202b">
    {ticks}
  </g>
  <g fill="#10202b" text-anchor="middle">
    <text x="{middle}" y="{below}">services (logarithmic)</text>
    <text transform="translate(28 {centre}) rotate(-90)">seconds (logarithmic)</text>
  </g>
  <path d="M{line}" stroke="#8a4b12" stroke-width="1.5" stroke-dasharray="6 5" fill="none"/>
  <path d="M{path}" stroke="#24506e" stroke-width="2" fill="none"/>
  <g stroke="#24506e" stroke-width="1.5" fill="#24506e">
    {points}
  </g>
  <g font-size="12">
    <path d="M{legend} 76h28" stroke="#24506e" stroke-width="2"/><text x="{legend_text}" y="80" fill="#24506e">\
measured</text>
    <path d="M{legend} 96h28" stroke="#8a4b12" stroke-width="1.5" stroke-dasharray="6 5"/>\
<text x="{legend_text}" y="100" fill="#8a4b12">linear, from the first</text>
  </g>
  <text x="{left}" y="388" font-size="10.5" fill="#45535d">{machine}</text>
</svg>
"""

if __name__ == "__main__":
    main()
