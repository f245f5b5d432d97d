"""A clock that moves only when a test advances it.

Invariant: `monotonic` never goes back; `wall` may, as on a real machine. Held by tests/ports/test_fakes.py.
"""


class ManualClock:
    """Satisfies `bateau.ports.clock.Clock`.

    >>> clock = ManualClock(wall=1_000.0)
    >>> clock.advance(2.5)
    >>> clock.set_wall(0.0)
    >>> clock.monotonic(), clock.wall()
    (2.5, 0.0)
    """

    def __init__(self, *, monotonic: float = 0.0, wall: float = 0.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        """Return the seconds that the test has advanced the clock."""
        return self._monotonic

    def wall(self) -> float:
        """Return the wall-clock time, in seconds since the epoch."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        if seconds < 0:
            raise ValueError("advance needs a positive number of seconds; set_wall can go back")
        self._monotonic += seconds
        self._wall += seconds

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock, as a person or NTP might."""
        self._wall = seconds
