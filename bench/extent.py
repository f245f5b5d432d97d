"""How much a benchmark measures: its rounds and seconds, from the command line of the one program.

Used by bench.chain, bench.tokens, bench.overload, bench.cold, bench.affinity and bench.history.

Invariant: a trial keeps no figure. It shows that a program works; its figures are too few to compare anything.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from bench import report

_BUSY_PERCENT_MAX = 5.0


@dataclass(frozen=True)
class Extent:
    """How many rounds are measured, and for how many seconds each."""

    rounds: int
    seconds: float


def extent(arguments: Sequence[str], *, what: str | None, full: Extent, trial: Extent) -> Extent:
    """Return the extent that `arguments` ask for: the full one, that of a trial, or the given numbers."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help=f"how often everything is measured [default: {full.rounds}]")
    parser.add_argument("--seconds", type=float, help=f"how long one measurement takes [default: {full.seconds:g}]")
    parser.add_argument("--trial", action="store_true", help="measure as little as possible, and keep no figure")
    options = parser.parse_args(arguments)
    chosen = trial if options.trial else full
    if options.trial:
        report.keep_nothing()
        print("This is a trial: its figures are not kept, and say nothing.")
    _warn_of_others()
    return Extent(
        rounds=chosen.rounds if options.rounds is None else options.rounds,
        seconds=chosen.seconds if options.seconds is None else options.seconds,
    )


def _warn_of_others() -> None:
    busy = psutil.cpu_percent(interval=1)
    if busy > _BUSY_PERCENT_MAX:
        print(f"WARNING: other programs use {busy:.0f} % of this machine's cores. The figures will be unreliable.")
