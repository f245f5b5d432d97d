"""Counters of the loop's own work.

Called by control.loop.
"""

from dataclasses import dataclass


@dataclass
class Counts:
    """Counters of the loop's own work, for metrics. Times in seconds."""

    turns: int = 0
    turn_s: float = 0.0
    failed_turns: int = 0
    reads: int = 0
