"""API keys as JSON and as rows of a table, without their secrets.

Called by cli.keys.
"""

from collections.abc import Sequence

from bateau.domain.api_key import ApiKey
from bateau.kit.json_value import ReadObject
from bateau.kit.rfc3339 import rfc3339


def key_json(key: ApiKey, *, now: float) -> ReadObject:
    """Return a key as JSON; times are in RFC 3339."""
    return {
        "name": key.name,
        "secret": _shown_secret(key),
        "owner": key.owner,
        "models": list(key.models),
        "requestsPerMinute": key.requests_per_minute,
        "concurrent": key.concurrent,
        "tokensPerMinute": key.tokens_per_minute,
        "tokensPerDay": key.tokens_per_day,
        "tokensPerMonth": key.tokens_per_month,
        "created": None if key.created_at is None else rfc3339(key.created_at),
        "expires": None if key.expires_at is None else rfc3339(key.expires_at),
        "expired": key.is_expired(now),
        "declaredAt": key.declared_at,
        "note": key.note,
    }


def keys_json(keys: Sequence[ApiKey], *, required: bool, now: float) -> ReadObject:
    """Return all keys as JSON, and whether a request needs one."""
    return {"required": required, "keys": [key_json(key, now=now) for key in keys]}


def key_row(key: ApiKey, *, now: float) -> tuple[str, ...]:
    """Return the cells of a key: name, secret, owner, models, limits, expiry, source, note."""
    expires = "-" if key.expires_at is None else rfc3339(key.expires_at)[:16].replace("T", " ")
    return (
        key.name,
        _shown_secret(key) or "-",
        key.owner or "-",
        ", ".join(key.models),
        _limits(key),
        "expired" if key.is_expired(now) else expires,
        key.declared_at or "command",
        key.note,
    )


def _limits(key: ApiKey) -> str:
    limits = (
        (key.requests_per_minute, "requests/min"),
        (key.concurrent, "at once"),
        (key.tokens_per_minute, "tokens/min"),
        (key.tokens_per_day, "tokens/day"),
        (key.tokens_per_month, "tokens/month"),
    )
    return ", ".join(f"{number:,} {of}" for number, of in limits if number is not None) or "-"


def _shown_secret(key: ApiKey) -> str | None:
    """Return what people recognise a secret by, None if the specs do not say it."""
    return f"bateau_...{key.hint}" if key.hint else None
