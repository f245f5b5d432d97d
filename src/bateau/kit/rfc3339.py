"""Write a time as RFC 3339 wants it, in UTC and to the second, and read one.

Called by api, cli, control, observe, runtimes, sources, specs, store, traffic and wiring.
"""

from datetime import UTC, datetime
from typing import Final, TypeGuard

_YEAR_10000: Final = 253_402_300_800.0


def rfc3339(seconds: float) -> str:
    """Return a time in seconds since the epoch.

    >>> rfc3339(0.9)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_time(value: object) -> TypeGuard[float]:
    """Return whether `rfc3339` can write this value: seconds from 1970 to the end of the year 9999.

    >>> is_time(1.5), is_time(-1), is_time(float("nan")), is_time(10**12), is_time("1")
    (True, False, False, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _YEAR_10000


def seconds_of(text: str) -> float | None:
    """Return a time in seconds since the epoch, None if the text is none, or names no time zone.

    >>> seconds_of("1970-01-01T00:00:01.5Z"), seconds_of("yesterday")
    (1.5, None)
    """
    try:
        found = datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
