"""The filters that verify tokens of OIDC issuers, and that say what their claims mean.

Called by traffic.envoy and wiring.keys.

Envoy verifies a token with the keys of its issuer that are written into its configuration, so an issuer that is gone
changes nothing. Its claims name the caller, in metadata. A secret of an API key has no dots, so it is never taken for a
token.
Source: Envoy's "JWT Authentication"; RFC 7515, section 7.1.

Invariant: a token counts only if a key of its issuer has signed it, with an algorithm for public keys, for an audience
of that issuer, and if it has not expired. Held by tests/traffic/test_issuers.py::test_a_wrong_token_gets_nobody_in.
Invariant: the claims of one issuer are never read by the rules of another. Held by
tests/traffic/test_issuers.py::test_each_issuer_has_its_own_rules.
Refused: keys that Envoy fetches by itself (`remote_jwks`). A restarted Envoy would know none of an issuer that is gone,
and each worker would wait for them.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Final

from bateau.domain.issuer import CALLER, Issuer, SigningKeys
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.traffic.envoy.names import KEY_HEADER, METADATA_NAMESPACE

# How far the clocks of an issuer and of this machine may differ.
CLOCK_SKEW_S: Final = 10

_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http."
_JWT: Final = f"{_TYPE}jwt_authn.v3.JwtAuthentication"
_LUA: Final = f"{_TYPE}lua.v3.Lua"
_RATE: Final = f"{_TYPE}local_ratelimit.v3.LocalRateLimit"
_PREFIXES: Final = ("Bearer ", "bearer ", "BEARER ")
_TOKEN: Final = r"[^ .]*\.[^ .]*\.[^ ]*"  # noqa: S105 - the shape of one
_BEARER: Final = "(?i)bearer +[^ ]+ *"
# A token is verified once for a while, by each worker.
_TOKENS_REMEMBERED: Final = 1000
_TOKEN_BYTES_REMEMBERED: Final = 8192
_SUBJECTS_REMEMBERED: Final = 10_000
_MINUTE: Final = "60s"
_UNLIMITED: Final = 2**32 - 1
_ALWAYS: Final[ReadObject] = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}

Known = Sequence[tuple[Issuer, SigningKeys]]


def verified(issuers: Known) -> ReadObject:
    """Return the filter that verifies tokens. A request without a token passes, and is checked as one with a key."""
    bearer = [_header("authorization", f"(?i)bearer +{_TOKEN} *")]
    # As with keys, this header counts only without the other one.
    alone = [
        _header("x-api-key", f" *{_TOKEN} *"),
        {**_header("authorization", _BEARER), "invert_match": True, "treat_missing_header_as_empty": True},
    ]
    places = {"authorization": (bearer, _PREFIXES), "x-api-key": (alone, ("",))}
    providers: dict[str, ReadJson] = {}
    rules: list[ReadJson] = []
    for place, (headers, prefixes) in places.items():
        found = {f"{_digest(issuer)}-{place}": (issuer, keys) for issuer, keys in issuers}
        tokens = [{"name": place, "value_prefix": prefix} for prefix in prefixes]
        providers |= {name: _provider(issuer, keys, tokens) for name, (issuer, keys) in found.items()}
        rules.append({"match": {"prefix": "/", "headers": headers}, "requires": _one_of([*found])})
    return {"@type": _JWT, "providers": providers, "rules": rules}


def _header(name: str, regex: str) -> ReadObject:
    return {"name": name, "string_match": {"safe_regex": {"regex": regex}}}


def _one_of(providers: Sequence[str]) -> ReadObject:
    names: list[ReadObject] = [{"provider_name": name} for name in providers]
    return names[0] if len(names) == 1 else {"requires_any": {"requirements": names}}


def _provider(issuer: Issuer, keys: SigningKeys, tokens: Sequence[ReadObject]) -> ReadObject:
    return {
        "issuer": issuer.url,
        "audiences": list(issuer.audiences),
        "local_jwks": {"inline_string": keys.jwks},
        "from_headers": tokens,
        "payload_in_metadata": _digest(issuer),
        "require_expiration": True,
        "clock_skew_seconds": CLOCK_SKEW_S,
        "jwt_cache_config": {
            "jwt_cache_size": _TOKENS_REMEMBERED,
            "jwt_max_token_size": _TOKEN_BYTES_REMEMBERED,
        },
    }


def named_by_claims(issuers: Known) -> ReadObject:
    """Return the filter that names the caller of a verified token."""
    about = ", ".join(
        f"[{_text(_digest(issuer))}] = {{ name = {_text(issuer.name)}, owner = {_text(issuer.owner_claim)}, "
        f"claim = {_text(issuer.models_claim)}, models = {_text(' '.join(issuer.models) or '-')} }}"
        for issuer, _ in issuers
    )
    return _lua(f"local ISSUERS = {{ {about} }}\n", "claims.lua")


def limited_by_subject(issuers: Known) -> ReadObject | None:
    """Return the filter that counts the requests of each subject in a minute; None if no issuer limits them."""
    descriptors = [
        {
            "entries": [{"key": "issuer", "value": issuer.name}, {"key": "subject"}],
            "token_bucket": {
                "max_tokens": issuer.requests_per_minute,
                "tokens_per_fill": issuer.requests_per_minute,
                "fill_interval": _MINUTE,
            },
        }
        for issuer, _ in issuers
        if issuer.requests_per_minute is not None
    ]
    if not descriptors:
        return None
    actions = [_metadata_action("issuer", "issuer"), _metadata_action("subject", "key")]
    return {
        "@type": _RATE,
        "stat_prefix": "bateau_issuer_requests",
        "token_bucket": {"max_tokens": _UNLIMITED, "tokens_per_fill": _UNLIMITED, "fill_interval": _MINUTE},
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
        "always_consume_default_token_bucket": False,
        "rate_limits": [{"actions": actions}],
        "descriptors": descriptors,
        "max_dynamic_descriptors": _SUBJECTS_REMEMBERED,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "enable_retry_after_header": True,
    }


def models_by_claims(no_model: Iterable[str]) -> ReadObject:
    """Return the filter that refuses models which the claims of a token do not allow."""
    values = ", ".join(f"[{_text(each)}] = true" for each in no_model)
    return _lua(f"local bit = require('bit')\nlocal NO_MODEL = {{ {values} }}\n", "claimed_models.lua")


def callers_of_tokens() -> str:
    """Return what the filter that compares hashes of secrets does for tokens, as the end of its text."""
    return _source("callers_of_tokens.lua")


def of_tokens() -> ReadObject:
    """Return the RBAC principal of requests with a token."""
    return {"or_ids": {"ids": [{"header": {"name": KEY_HEADER, "string_match": {"prefix": CALLER}}}]}}


def _metadata_action(descriptor: str, key: str) -> ReadObject:
    return {
        "metadata": {
            "descriptor_key": descriptor,
            "metadata_key": {"key": METADATA_NAMESPACE, "path": [{"key": key}]},
            "source": "DYNAMIC",
        }
    }


def _digest(issuer: Issuer) -> str:
    """Return a name for an issuer and all of its rules: another one where one of them differs."""
    return hashlib.blake2b(json.dumps(asdict(issuer), sort_keys=True).encode(), digest_size=8).hexdigest()


def _lua(before: str, name: str) -> ReadObject:
    return {"@type": _LUA, "default_source_code": {"inline_string": before + _source(name)}}


def _source(name: str) -> str:
    return (files("bateau.traffic.envoy") / name).read_text(encoding="utf-8")


def _text(value: str) -> str:
    """Return a text in Lua. Raises ValueError for one that Lua would read in another way."""
    if not value.isascii() or not value.isprintable() or '"' in value or "\\" in value:
        raise ValueError(f"{value!r} cannot be written in Lua")
    return f'"{value}"'
