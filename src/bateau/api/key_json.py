"""API keys as JSON and as rows of a table, without their secrets.

Called by cli.keys.
"""

from collections.abc import Sequence

from bateau.control.budgets import Spent
from bateau.domain.api_key import TOKENS, ApiKey
from bateau.kit.json_value import ReadObject
from bateau.kit.money import Money, shown
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
        "moneyPerDay": _text(key.money_per_day),
        "moneyPerMonth": _text(key.money_per_month),
        "kwhPerDay": key.kwh_per_day,
        "kwhPerMonth": key.kwh_per_month,
        "expires": None if key.expires_at is None else rfc3339(key.expires_at),
        "expired": key.is_expired(now),
        "declaredAt": key.declared_at,
        "note": key.note,
    }


def spent_json(spent: Spent) -> ReadObject:
    """Return how much of a budget is used as JSON. The costs of `requestsUnknown` of the `requests` are not known."""
    return {
        "unit": spent.budget.unit,
        "period": spent.budget.period,
        "used": float(spent.used),
        "budget": float(spent.budget.amount),
        "requests": spent.requests,
        "requestsUnknown": spent.unknown,
    }


def spent_text(spent: Spent) -> str:
    """Return how much of a budget is used, for people."""
    budget = spent.budget
    if budget.unit == TOKENS:
        return f"{spent.used:,f} of {budget.amount:,f} tokens this {budget.period}"
    unknown = f"; the costs of {spent.unknown:,} of {spent.requests:,} requests are unknown" if spent.unknown else ""
    return f"{shown(spent.used)} of {shown(budget.amount)} {budget.unit} this {budget.period}{unknown}"


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
    )
    counted = [f"{number:,} {of}" for number, of in limits if number is not None]
    budgets = [f"{budget.amount:,f} {budget.unit}/{budget.period}" for budget in key.budgets]
    return ", ".join((*counted, *budgets)) or "-"


def _shown_secret(key: ApiKey) -> str | None:
    """Return what people recognise a secret by, None if the specs do not say it."""
    return f"bateau_...{key.hint}" if key.hint else None


def _text(money: Money | None) -> str | None:
    return None if money is None else str(money)
