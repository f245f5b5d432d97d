"""Figures and states as people read them.

Called by cli.graph_forms, cli.top_rows and ui.

Invariant: an unknown figure is shown as unknown, and never as 0. Held by
tests/ui/test_pages.py::test_unknown_figures_are_shown_as_unknown.
"""

from collections.abc import Callable
from typing import Final

import htpy as h

from bateau.kit.quantity import approximate_bytes
from bateau.kit.visible import visible

TONES = {
    "Ready": "good",
    "Done": "good",
    "Starting": "busy",
    "Pulling": "busy",
    "Stopping": "busy",
    "Degraded": "warn",
    "Leaving": "warn",
    "Unready": "warn",
    "Unknown": "warn",
    "BackOff": "bad",
    "Failed": "bad",
}
DASH: Final = "\N{EN DASH}"
NOT_APPLICABLE: Final = h.span(".sr")["does not apply"]


def _dash(says: str) -> h.Element:
    return h.span(".unknown")[h.span(aria_hidden="true")[DASH], h.span(".sr")[says]]


UNKNOWN: Final = _dash("unknown")
NO_REQUESTS: Final = _dash("no requests")
_SMALL = 10


def state(name: str) -> h.Element:
    """Return a state: its name, and a mark whose form and colour say if that is good."""
    return h.span(class_=["state", tone(name)])[name]


def tone(name: str) -> str:
    """Return how good a state is, in one word."""
    return TONES.get(name, "idle")


def figure(value: float | None, shown: Callable[[float], str], *, least: bool = False) -> h.Node:
    """Return a figure as text. With `least`, it is a lower bound."""
    if value is None:
        return UNKNOWN
    return f"≥ {shown(value)}" if least else shown(value)


def number(value: float) -> str:
    """Return a number with as many digits as people compare.

    >>> number(0), number(0.04), number(3.14159), number(41.6), number(1234.5)
    ('0', '0.04', '3.1', '42', '1,234')
    """
    if not value:
        return "0"
    if value >= _SMALL:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def share(value: float) -> str:
    """Return a part of a whole in percent.

    >>> share(0), share(0.012), share(1)
    ('0 %', '1.2 %', '100 %')
    """
    return f"{number(100 * value)} %"


def duration(seconds: float) -> str:
    """Return a short time.

    >>> duration(0.0412), duration(1.26), duration(75)
    ('41 ms', '1.3 s', '1 min 15 s')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def memory(value: float) -> str:
    """Return an amount of memory."""
    return approximate_bytes(int(value))


def size(value: int) -> str:
    """Return the size of a file, in powers of ten as those of disks and downloads.

    >>> size(98362432), size(1_500_000_000)
    ('98 MB', '1.5 GB')
    """
    return f"{number(value / 1e9)} GB" if value >= 10**9 else f"{number(value / 1e6)} MB"


def count(value: int, word: str) -> str:
    """Return a number of things.

    >>> count(1, "replica"), count(0, "replica")
    ('1 replica', '0 replicas')
    """
    return f"{value:,} {word}{'' if value == 1 else 's'}"


def safe(text: str) -> str:
    """Return text of others without control characters, such as the colours of a log. It is escaped later."""
    return visible(text)
