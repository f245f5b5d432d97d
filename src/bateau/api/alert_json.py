"""Alerts and silences as JSON; times are in RFC 3339.

Called by api.alert_routes.
"""

from bateau.domain.alert import Alert, Silence
from bateau.kit.json_value import ReadObject
from bateau.kit.rfc3339 import rfc3339


def alert_json(alert: Alert, link: str, silence: Silence | None = None) -> ReadObject:
    """Return an alert. `link` is the address of its page."""
    return {
        "name": alert.name,
        "subject": alert.subject,
        "service": alert.service,
        "severity": alert.severity,
        "state": alert.state,
        "since": rfc3339(alert.since),
        "firedAt": _time(alert.fired_at),
        "endedAt": _time(alert.ended_at),
        "summary": alert.summary,
        "description": alert.description,
        "says": alert.says,
        "cause": alert.cause or None,
        "link": link,
        "silencedUntil": rfc3339(silence.until) if silence else None,
    }


def silence_json(silence: Silence) -> ReadObject:
    """Return a silence."""
    return {
        "id": silence.id,
        "service": silence.service,
        "alert": silence.name,
        "until": rfc3339(silence.until),
        "why": silence.why,
        "by": silence.by,
        "createdAt": rfc3339(silence.created_at),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
