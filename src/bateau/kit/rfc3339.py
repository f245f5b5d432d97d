"""Write a time as RFC 3339 wants it, in UTC and to the second.

Called by api, cli, specs, store, traffic and wiring.
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
