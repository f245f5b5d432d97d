"""The filters that check API keys, as files that Envoy reads by itself.

Called by traffic.envoy and wiring.keys.

On a machine, Envoy watches the files. So a command that revokes a key has its effect while no control plane runs, and
so does a restart of Envoy. Each file contains one filter; where no key is needed, one that lets everything pass. The
gateways of a cluster get the same filters over xDS.

Invariant: where a file is missing or damaged when Envoy starts, every request is refused. A damaged file that replaces
a good one has no effect. Held by tests/traffic/test_keys.py::test_without_its_files_the_gateway_refuses_every_request
and tests/traffic/test_keys.py::test_a_damaged_file_changes_nothing.
Invariant: files, Envoy's memory and its configuration contain hashes only. Held by
tests/traffic/test_keys.py::test_no_secret_reaches_a_replica_or_the_configuration.
Invariant: the models of a key take effect, however many or long its globs are: Envoy refuses a filter with a large
regular expression, and keeps the one before. Held by tests/traffic/test_keys.py::test_many_and_long_globs_take_effect.
Invariant: a secret gets in only if all of its hash is that of a key, and as that key. Held by
tests/traffic/test_keys.py::test_a_hash_is_compared_as_a_whole and
tests/traffic/test_keys.py::test_hashes_of_the_gateway_are_those_of_python.
Refused: `allowed_clients` of Envoy's api_key_auth for the models of a key. It stands before the body is read, so the
route of the model is not known, and it lets everything pass.
Refused: api_key_auth itself. The hash comes from a filter in Lua, which can compare it for less than a second filter.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Final

from bateau.domain.api_key import ALL_MODELS, ApiKey
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.kit.rfc3339 import rfc3339
from bateau.traffic.envoy.issuer_filters import (
    Known,
    callers_of_tokens,
    limited_by_subject,
    models_by_claims,
    named_by_claims,
    of_tokens,
    verified,
)
from bateau.traffic.envoy.listed import LISTED, listing
from bateau.traffic.envoy.lua import quoted, script
from bateau.traffic.envoy.names import KEY_HEADER
from bateau.traffic.envoy.no_filter import FILTER_CHAIN, NO_FILTER

# What every budget begins with, whatever it counts: the native filter has the same word.
BUDGET: Final = "tokens"

_TYPE: Final = "type.googleapis.com/"
_FILTERS: Final = _TYPE + "envoy.extensions.filters.http."
_LUA: Final = _FILTERS + "lua.v3.Lua"
_RBAC: Final = _FILTERS + "rbac.v3.RBAC"
_RATE: Final = _FILTERS + "local_ratelimit.v3.LocalRateLimit"
_JWT: Final = _FILTERS + "jwt_authn.v3.JwtAuthentication"

# Of tokens: they let everything pass where there is no issuer.
ISSUERS: Final = "bateau.issuers"
CLAIMS: Final = "bateau.claims"
SUBJECT_REQUESTS: Final = "bateau.subject-requests"
CLAIMED_MODELS: Final = "bateau.claimed-models"
KEYS: Final = "bateau.keys"
BUDGETS: Final = "bateau.budgets"
REQUESTS: Final = "bateau.requests"
MODELS: Final = "bateau.models"
MODEL_TOKENS: Final = "bateau.model-tokens"
# The first three of them as one, so that a request passes one filter where there is no issuer.
TOKEN_CHAIN: Final = "bateau.tokens"  # noqa: S105 - a name
# Comes after it, and does what all others do but the last: see `traffic.envoy.gate`.
GATE: Final = "bateau.gate"
OF_TOKENS: Final = (ISSUERS, CLAIMS, SUBJECT_REQUESTS)
# In the order of the chain. The last ones need the model, so they come after the body was read.
BEFORE_BODY: Final = (ISSUERS, KEYS, CLAIMS, SUBJECT_REQUESTS, BUDGETS, REQUESTS)
AFTER_BODY: Final = (MODELS, CLAIMED_MODELS, MODEL_TOKENS, LISTED)
ALL: Final = (TOKEN_CHAIN, *BEFORE_BODY, *AFTER_BODY)
# The gateways of a cluster verify no tokens, and nobody reads a ledger there.
ON_CLUSTERS: Final = (KEYS, REQUESTS, MODELS, LISTED)

_TYPES: Final[Mapping[str, str]] = {
    ISSUERS: _JWT,
    CLAIMS: _LUA,
    SUBJECT_REQUESTS: _RATE,
    CLAIMED_MODELS: _LUA,
    KEYS: _LUA,
    BUDGETS: _RBAC,
    REQUESTS: _RATE,
    MODELS: _RBAC,
    MODEL_TOKENS: _RBAC,
    LISTED: _LUA,
    TOKEN_CHAIN: FILTER_CHAIN,
    GATE: _FILTERS + "dynamic_modules.v3.DynamicModuleFilter",
}
_NOBODY: Final[ReadObject] = {"@type": _RBAC, "rules": {"action": "ALLOW", "policies": {}}}
_MINUTE: Final = "60s"
_ALWAYS: Final[ReadObject] = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
_UNLIMITED: Final = 2**32 - 1


def file_of(directory: PurePath, name: str) -> PurePath:
    """Return the path of a filter's file."""
    return directory / f"{name}.json"


def in_file(directory: PurePath, name: str) -> ReadObject:
    """Return the ConfigSource of a filter: its file, which Envoy reads again when it is replaced."""
    return {"path_config_source": {"path": str(file_of(directory, name))}, "resource_api_version": "V3"}


def discovered(name: str, source: ReadObject) -> ReadObject:
    """Return an HttpFilter whose configuration Envoy gets from a ConfigSource; without it, it refuses every request.

    LISTED has an effect only on routes that ask for it.
    """
    return {
        "name": name,
        "config_discovery": {
            "config_source": source,
            "type_urls": sorted({_TYPES[name], _RBAC, FILTER_CHAIN}),
            "default_config": _NOBODY,
        },
        **({"disabled": True} if name == LISTED else {}),
    }


def key_filters(
    keys: Sequence[ApiKey] | None, *, model_header: str, no_model: Sequence[str], issuers: Known = ()
) -> Mapping[str, str]:
    """Return the content of each filter's file by the filter's name, in the order in which they are to be written.

    Not among them are those that whoever reads the ledger writes: see `budget_filter` and `model_limits`.
    `keys` is None where no key is needed; then no token of `issuers` is verified either. `model_header` contains the
    model of a request; with a value in `no_model`, the request names none, and every key may send it.
    """
    found = _configs(keys, model_header=model_header, no_model=no_model, issuers=issuers)
    return {name: file_response(name, config) for name, config in found.items()}


def cluster_key_filters(
    keys: Sequence[ApiKey] | None, *, model_header: str, no_model: Sequence[str]
) -> list[ReadObject]:
    """Return the filters of the gateways of a cluster, each a TypedExtensionConfig. `keys` are as for `key_filters`."""
    found = _configs(keys, model_header=model_header, no_model=no_model, issuers=())
    return [{"name": name, "typed_config": found[name]} for name in ON_CLUSTERS]


def _configs(
    keys: Sequence[ApiKey] | None, *, model_header: str, no_model: Sequence[str], issuers: Known
) -> Mapping[str, ReadObject]:
    return (
        dict.fromkeys((name for name in reversed(ALL) if name != MODEL_TOKENS), NO_FILTER)
        if keys is None
        else {
            # Without this one, no token has a name, so nobody with a token gets in.
            CLAIMS: named_by_claims(issuers) if issuers else NO_FILTER,
            SUBJECT_REQUESTS: limited_by_subject(issuers) or NO_FILTER,
            MODELS: _models(keys, model_header, no_model, with_tokens=bool(issuers)),
            CLAIMED_MODELS: models_by_claims(no_model) if issuers else NO_FILTER,
            LISTED: {"@type": _LUA, "default_source_code": {"inline_string": listing(keys)}},
            REQUESTS: _requests(keys),
            KEYS: _keys(keys, with_tokens=bool(issuers)),
            ISSUERS: verified(issuers) if issuers else NO_FILTER,
            TOKEN_CHAIN: _tokens(issuers) if issuers else NO_FILTER,
        }
    )


def file_response(name: str, config: ReadObject) -> str:
    """Return the content of a filter's file: a DiscoveryResponse.

    The same filter has the same version, so that writing it again changes nothing.
    """
    resource = {"@type": _TYPE + "envoy.config.core.v3.TypedExtensionConfig", "name": name, "typed_config": config}
    digest = hashlib.blake2b(json.dumps(resource, sort_keys=True).encode(), digest_size=8).hexdigest()
    return json.dumps({"version_info": digest, "resources": [resource]})


def _tokens(issuers: Known) -> ReadObject:
    found = {
        ISSUERS: verified(issuers),
        CLAIMS: named_by_claims(issuers),
        SUBJECT_REQUESTS: limited_by_subject(issuers),
    }
    filters = [{"name": name, "typed_config": config} for name, config in found.items() if config]
    return {"@type": FILTER_CHAIN, "default_filter_chain": {"filters": filters}}


def _keys(keys: Iterable[ApiKey], *, with_tokens: bool) -> ReadObject:
    """Compare hashes, and refuse expired keys by Envoy's own clock, so that no process has to act at that moment."""
    lines = (
        f"{key.sha256} {0 if key.expires_at is None else max(1, math.ceil(1000 * key.expires_at))} {key.name}\n"
        for key in keys
    )
    parts = [f"local KEYS = {quoted(''.join(lines))}\n", script("sha256.lua"), script("callers.lua")]
    code = "".join([*parts, callers_of_tokens()] if with_tokens else parts)
    return {"@type": _LUA, "default_source_code": {"inline_string": code}}


def budget_filter(refused: Mapping[str, Mapping[str, float]]) -> str:
    """Return the content of the file that refuses keys whose budgets are used up.

    `refused` has by the name of the budget ("minute", "day", "money-day" ...) the names of keys and until when each is
    refused, in seconds since the epoch. Envoy's own clock ends it, so that no process has to act at that moment.
    """
    policies = {
        f"{BUDGET}-{name}-{number}": {
            "permissions": [{"any": True}],
            "principals": [of_keys([key])],
            "condition": compared("_<_", until),
        }
        for name, keys in sorted(refused.items())
        for number, (key, until) in enumerate(sorted(keys.items()))
    }
    config = {"@type": _RBAC, "rules": {"action": "DENY", "policies": policies}} if policies else NO_FILTER
    return file_response(BUDGETS, config)


def compared(operator: str, time: float) -> ReadObject:
    """Return a CEL expression such as `request.time >= timestamp(...)` as a tree (google.api.expr.v1alpha1.Expr)."""
    now = {"id": "2", "select_expr": {"operand": {"id": "3", "ident_expr": {"name": "request"}}, "field": "time"}}
    then = {
        "id": "4",
        "call_expr": {"function": "timestamp", "args": [{"id": "5", "const_expr": {"string_value": rfc3339(time)}}]},
    }
    return {"id": "1", "call_expr": {"function": operator, "args": [now, then]}}


def _requests(keys: Iterable[ApiKey]) -> ReadObject:
    descriptors = [
        {
            "entries": [{"key": "key", "value": key.name}],
            "token_bucket": {
                "max_tokens": key.requests_per_minute,
                "tokens_per_fill": key.requests_per_minute,
                "fill_interval": _MINUTE,
            },
        }
        for key in keys
        if key.requests_per_minute is not None
    ]
    if not descriptors:
        return NO_FILTER
    return {
        "@type": _RATE,
        "stat_prefix": "bateau_requests",
        "token_bucket": {"max_tokens": _UNLIMITED, "tokens_per_fill": _UNLIMITED, "fill_interval": _MINUTE},
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
        "always_consume_default_token_bucket": False,
        "rate_limits": [{"actions": [{"request_headers": {"header_name": KEY_HEADER, "descriptor_key": "key"}}]}],
        "descriptors": descriptors,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "enable_retry_after_header": True,
    }


def _models(keys: Iterable[ApiKey], header: str, no_model: Sequence[str], *, with_tokens: bool) -> ReadObject:
    by_models: dict[tuple[str, ...], list[str]] = {}
    for key in keys:
        by_models.setdefault(key.models, []).append(key.name)
    policies: dict[str, ReadJson] = {
        f"models-{number}": {
            "permissions": [_may_use(models, header, no_model)],
            "principals": [of_keys(names)],
        }
        for number, (models, names) in enumerate(sorted(by_models.items()))
    }
    if with_tokens:
        # The next filter knows the models of each.
        policies["tokens"] = {"permissions": [{"any": True}], "principals": [of_tokens()]}
    return {"@type": _RBAC, "rules": {"action": "ALLOW", "policies": policies}}


def _may_use(models: Sequence[str], header: str, no_model: Sequence[str]) -> ReadObject:
    """Return the RBAC permission for some models. One regular expression for all would become too large for Envoy."""
    if ALL_MODELS in models:
        return {"any": True}
    named = [{"header": {"name": header, "string_match": _matching(each)}} for each in (*no_model, *models)]
    return {"or_rules": {"rules": [*named, {"header": {"name": header, "present_match": False}}]}}


def _matching(glob: str) -> ReadObject:
    start, star, rest = glob.partition("*")
    if "?" in glob or rest or not start:
        return {"safe_regex": {"regex": glob_regex(glob)}}
    return {"prefix": start} if star else {"exact": start}


def of_keys(names: Sequence[str]) -> ReadObject:
    """Return the RBAC principal of requests with one of these keys."""
    ids = [{"header": {"name": KEY_HEADER, "string_match": {"exact": name}}} for name in names]
    return {"or_ids": {"ids": ids}}


def glob_regex(glob: str) -> str:
    """Return the regular expression of a glob, in RE2's syntax; it matches the whole name.

    >>> glob_regex("chat*"), glob_regex("gpt4?"), glob_regex("a|b") == "a" + chr(92) + "|b"
    ('chat.*', 'gpt4.', True)
    """
    return "".join({"*": ".*", "?": "."}.get(each) or re.escape(each) for each in glob)
