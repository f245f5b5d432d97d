"""Figures with their spread, as lines for people, as JSON lines, and as the page that docs include.

Used by every benchmark.

Invariant: a figure is a median with the least and the most of its runs, and a miss is written as a miss.
"""

import datetime as dt
import json
import os
import platform
import statistics
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bateau import __version__

RESULTS = Path(__file__).parent / "results"
LINES = RESULTS / "results.jsonl"
PAGE = RESULTS / "results.md"
_trial = threading.Event()


def keep_nothing() -> None:
    """Print figures from now on, and keep none: this is a trial."""
    _trial.set()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One claim: what was measured, over how many runs, and the bound that it should keep."""

    claim: str
    unit: str
    median: float
    least: float
    most: float
    runs: int
    bound: str | None = None
    kept: bool | None = None
    note: str | None = None


def figure(
    claim: str,
    values: Sequence[float],
    *,
    unit: str,
    at_most: float | None = None,
    at_least: float | None = None,
    note: str | None = None,
) -> Figure:
    """Return the figure of `values`, print it, and keep it unless this is a trial."""
    median = statistics.median(values)
    bound = kept = None
    if at_most is not None:
        bound, kept = f"≤ {at_most:g}", median <= at_most
    if at_least is not None:
        bound, kept = f"≥ {at_least:g}", median >= at_least
    made = Figure(
        claim=claim,
        unit=unit,
        median=median,
        least=min(values),
        most=max(values),
        runs=len(values),
        bound=bound,
        kept=kept,
        note=note,
    )
    verdict = "" if kept is None else "   kept" if kept else "   MISSED"
    print(f"{claim}: {median:.4g} {unit} ({made.least:.4g} … {made.most:.4g}, {made.runs} runs) {bound or ''}{verdict}")
    if note:
        print(f"    {note}")
    if _trial.is_set():
        return made
    RESULTS.mkdir(exist_ok=True)
    with LINES.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**asdict(made), **circumstances()}, ensure_ascii=False) + "\n")
    return made


def circumstances() -> dict[str, str]:
    """Name the machine and the day."""
    return {
        "version": __version__,
        "day": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}",
    }


def write_page() -> None:
    """Write the table of the newest figure of each claim."""
    newest = {line["claim"]: line for line in map(json.loads, LINES.read_text(encoding="utf-8").splitlines())}
    rows = [
        "| claim | median | least … most | runs | bound | kept |",
        "|---|---|---|---|---|---|",
        *(_row(line) for line in newest.values()),
    ]
    machines = sorted({f"{line['machine']}, {line['day']}, version {line['version']}" for line in newest.values()})
    notes = [f"- {line['claim']}: {line['note']}" for line in newest.values() if line["note"]]
    PAGE.write_text(
        "\n".join([*(f"Measured on {m}." for m in machines), "", *rows, "", *notes]) + "\n", encoding="utf-8"
    )


def _row(line: dict[str, object]) -> str:
    kept = {True: "yes", False: "**no**", None: ""}[line["kept"]]  # type: ignore[index]
    spread = f"{line['least']:.4g} … {line['most']:.4g}"
    median = f"{line['median']:.4g} {line['unit']}"
    return f"| {line['claim']} | {median} | {spread} | {line['runs']} | {line['bound'] or ''} | {kept} |"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
