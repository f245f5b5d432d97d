"""The port of a clock. Used by control and runtimes; satisfied by wiring (the real clock) and testing.ManualClock."""

from typing import Protocol


class Clock(Protocol):
    """A monotonic clock and a wall clock, which must not be mixed up."""

    def monotonic(self) -> float:
        """Seconds that never go backwards: for intervals, timeouts and back-off."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch: for display only, because the clock may be set back."""
        ...
