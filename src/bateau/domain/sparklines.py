"""What the sparkline of a service shows: its requests and errors in each minute of the last hour.

Made by wiring.sparklines; shown by ui. Pure.

Minutes that have ended do not change. A service without requests has the same values a minute later, so that nothing
that shows them has to change with the time.
"""

from dataclasses import dataclass
from math import floor
from typing import Final

from bateau.domain.charts import Values

STEP_S: Final = 60.0
COUNT: Final = 60
_LATE_S: Final = 5.0  # the last point of a minute comes a moment after its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """Values per second in each minute, the oldest first; None for unknown ones. `errors` are those of 4xx and 5xx."""

    requests: Values
    errors: Values


def last_end(now: float) -> float:
    """Return when the last minute has ended whose points are there.

    >>> last_end(124.9), last_end(125.0)
    (60.0, 120.0)
    """
    return floor((now - _LATE_S) / STEP_S) * STEP_S
