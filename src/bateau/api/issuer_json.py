"""OIDC issuers as JSON and as rows of a table.

Called by cli.issuers.
"""

from bateau.domain.issuer import Issuer, SigningKeys
from bateau.kit.json_value import ReadObject
from bateau.kit.jwks import key_count
from bateau.kit.rfc3339 import rfc3339

HEADER = ("ISSUER", "URL", "AUDIENCE", "MODELS", "LIMITS", "KEYS", "REFRESHED")


def issuer_json(issuer: Issuer, keys: SigningKeys | None) -> ReadObject:
    """Return an issuer as JSON; times are in RFC 3339. Without its keys, none of its tokens gets in."""
    return {
        "name": issuer.name,
        "url": issuer.url,
        "audiences": list(issuer.audiences),
        "ownerClaim": issuer.owner_claim,
        "modelsClaim": issuer.models_claim,
        "models": list(issuer.models),
        "requestsPerMinute": issuer.requests_per_minute,
        "authority": issuer.authority,
        "created": rfc3339(issuer.created_at),
        "signingKeys": None if keys is None else key_count(keys.jwks),
        "refreshed": None if keys is None else rfc3339(keys.fetched_at),
        "failingSince": None if keys is None or keys.failing_since is None else rfc3339(keys.failing_since),
        "error": keys.error if keys and keys.error else None,
    }


def issuer_row(issuer: Issuer, keys: SigningKeys | None) -> tuple[str, ...]:
    """Return the cells of an issuer, as in `HEADER`."""
    limit = issuer.requests_per_minute
    return (
        issuer.name,
        issuer.url,
        ", ".join(issuer.audiences),
        ", ".join(issuer.models) or f"only by {issuer.models_claim}",
        "-" if limit is None else f"{limit:,} requests/min each",
        "unknown" if keys is None else str(key_count(keys.jwks)),
        _refreshed(keys),
    )


def _refreshed(keys: SigningKeys | None) -> str:
    if keys is None:
        return "never"
    last = rfc3339(keys.fetched_at)[:16].replace("T", " ")
    return last if keys.failing_since is None else f"{last}, and not since: {keys.error}"
