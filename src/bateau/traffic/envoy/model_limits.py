"""The limits of a model, for all of its clients together and for each key: filters behind the one that reads the model.

Called by traffic.envoy and wiring.keys.

Requests are counted by the gateway. Tokens are counted in the ledger; a file, as those of the keys, has the models, and
the keys at them, whose tokens of the last minute are used up.
Source: Envoy's "Local rate limit", with a bucket for each value of a descriptor that has none.

Invariant: a limit counts for all names of a model together. Held by
tests/traffic/test_model_limits.py::test_all_names_of_a_model_share_its_limit.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from bateau.domain.endpoint import Backend
from bateau.domain.used import Refusal
from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.key_filters import KEY_HEADER, MODEL_TOKENS, compared, file_response, of_keys
from bateau.traffic.envoy.names import METADATA_NAMESPACE
from bateau.traffic.envoy.no_filter import NO_FILTER

MODEL_REQUESTS: Final = "bateau.model-requests"
TOKENS_OF_MODEL: Final = "model-tokens"
TOKENS_OF_KEY: Final = "key-tokens"

_MODEL: Final = "model"
_KEY: Final = "key"
_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http."
_RBAC: Final = f"{_TYPE}rbac.v3.RBAC"
_RATE: Final = f"{_TYPE}local_ratelimit.v3.LocalRateLimit"
_MINUTE: Final = "60s"
_ALWAYS: Final[ReadObject] = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
_UNLIMITED: Final = 2**32 - 1
# Keys whose requests of the last minutes are remembered, for each model.
_KEYS_MAX: Final = 10_000


def model_requests_filter(models: Iterable[Backend]) -> ReadObject:
    """Return the HTTP filter that counts the requests of models with a limit, and of each key at them."""
    descriptors: list[ReadObject] = []
    for model in models:
        of_model = {"key": _MODEL, "value": model.name}
        if number := model.limits.requests_per_minute:
            descriptors.append({"entries": [of_model], "token_bucket": _bucket(number)})
        if number := model.limits.per_key.requests_per_minute:
            descriptors.append({"entries": [of_model, {"key": _KEY}], "token_bucket": _bucket(number)})
    config: ReadObject = {
        "@type": _RATE,
        "stat_prefix": "bateau_model_requests",
        "token_bucket": _bucket(_UNLIMITED),
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
        "always_consume_default_token_bucket": False,
        "descriptors": descriptors,
        "max_dynamic_descriptors": _KEYS_MAX,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "enable_retry_after_header": True,
    }
    return {"name": MODEL_REQUESTS, "typed_config": config}


def counted(model: Backend) -> Sequence[ReadObject]:
    """Return the `rate_limits` of the routes of a model."""
    of_model = {"generic_key": {"descriptor_key": _MODEL, "descriptor_value": model.name}}
    of_key = {"request_headers": {"header_name": KEY_HEADER, "descriptor_key": _KEY}}
    found: list[ReadObject] = []
    if model.limits.requests_per_minute:
        found.append({"actions": [of_model]})
    if model.limits.per_key.requests_per_minute:
        found.append({"actions": [of_model, of_key]})
    return found


def named(model: Backend) -> ReadObject:
    """Return the metadata by which the filter of tokens knows the routes of a model."""
    return {_MODEL: model.name}


def model_tokens_filter(refused: Iterable[Refusal]) -> str:
    """Return the content of the file that refuses requests for models whose tokens of a minute are used up.

    Envoy's own clock ends it, so that no process has to act at that moment.
    """
    policies = {
        f"{TOKENS_OF_KEY if each.key else TOKENS_OF_MODEL}-{number}": {
            "permissions": [_at(each.model)],
            "principals": [of_keys([each.key]) if each.key else {"any": True}],
            "condition": compared("_<_", each.until),
        }
        for number, each in enumerate(sorted(refused, key=lambda each: (each.model, each.key or "")))
    }
    config: ReadObject = {"@type": _RBAC, "rules": {"action": "DENY", "policies": policies}}
    return file_response(MODEL_TOKENS, config if policies else NO_FILTER)


def _at(model: str) -> ReadObject:
    matcher = {"filter": METADATA_NAMESPACE, "path": [{"key": _MODEL}], "value": {"string_match": {"exact": model}}}
    return {"sourced_metadata": {"metadata_matcher": matcher, "metadata_source": "ROUTE"}}


def _bucket(requests: int) -> ReadObject:
    counted_to = min(requests, _UNLIMITED)  # Envoy counts with 32 bits
    return {"max_tokens": counted_to, "tokens_per_fill": counted_to, "fill_interval": _MINUTE}
