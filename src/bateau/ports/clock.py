"""What a clock offers. Used by control and runtimes; satisfied by wiring (the real one) and testing.ManualClock."""

from typing import Protocol


class Clock(Protocol):
    """Two clocks that must not be mixed up."""

    def monotonic(self) -> float:
        """Seconds that never go backwards: for intervals, timeouts and back-off."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch: for people's eyes only, as it may be set back."""
        ...
