"""Write a time as RFC 3339 wants it, in UTC and to the second, and read one.

Called by api, cli, control, observe, runtimes, sources, specs and traffic.
"""

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Return a time in seconds since the epoch.

    >>> rfc3339(0.9)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
