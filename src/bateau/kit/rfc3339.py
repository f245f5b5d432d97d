"""Write a time as RFC 3339 wants it, in UTC and to the second.

Called by api.issuer_json, api.key_json, api.usage_json, cli.usage, specs.kinds.key and traffic.envoy.key_filters.
"""

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Return a time in seconds since the epoch.

    >>> rfc3339(0.9)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
