"""Have Envoy count and time requests, without Python: by route and status, and usage by key and route.

Called by traffic.envoy.listener and wiring.filters. observe.gateway_usage reads the counters of usage.

The label is the name of the route, not the model name in the request, so that clients cannot create new series. That of
the key is the name of a key that exists.

Invariant: an answer that does not say its tokens is counted as one of those, and not as one without tokens. Held by
tests/traffic/test_gateway_usage.py::test_tokens_are_counted_by_key_and_model.
Invariant: what the native filter has counted survives a change of the keys, which replaces its configuration. Held by
tests/traffic/test_native.py::test_counts_of_requests_survive_a_change_of_the_keys.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.dynamic_module import module_config
from bateau.traffic.envoy.names import METADATA_NAMESPACE
from bateau.traffic.envoy.replies import status_filter
from bateau.traffic.envoy.usage import a_model_was_read

_ROUTE: Final[ReadObject] = {"name": "route", "value_format": "%ROUTE_NAME%"}
_CODE: Final[ReadObject] = {"name": "code", "value_format": "%RESPONSE_CODE%"}
_KEY: Final[ReadObject] = {"name": "key", "value_format": f"%DYNAMIC_METADATA({METADATA_NAMESPACE}:key)%"}
# As `usage.lua` names its sums.
_SUMS: Final = ("tokens_in", "tokens_cached", "tokens_out")
_USAGE: Final = "usage_"
_ERROR: Final = 400


def request_log() -> ReadObject:
    """Return the access log that counts and times requests by route."""
    requests = {
        "stat": {"name": "requests", "tags": [_ROUTE, _CODE]},
        "value_fixed": 1,
    }
    return _stats_log({"counters": [requests], "histograms": [_histogram("request_duration", "%DURATION%")]})


def native_request_log(library: PurePath) -> ReadObject:
    """Return the access log as `request_log`, by which the library of the native filter counts (`counts.rs`).

    Envoy's own looks for a counter and a histogram by their labels for each request. The library adds up requests and
    their times, and twice a second gives Envoy the sums. The buckets, sum and count of a histogram are counters there.
    """
    return {
        "name": "envoy.access_loggers.dynamic_modules",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog",
            "dynamic_module_config": module_config(library),
            "logger_name": "bateau.requests",
        },
    }


def first_token_log() -> ReadObject:
    """Return the access log that times the first tokens of models by route. The native filter does that by itself."""
    # llama.cpp sends its headers at once, so the first token is the first byte of the body.
    time = _histogram("time_to_first_token", "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:ms)%")
    return {**_stats_log({"histograms": [time]}), "filter": _all_of(status_filter(200), a_model_was_read())}


def first_byte_log() -> ReadObject:
    """Return the access log that times the answers of apps by route.

    A stream or a WebSocket may last for hours; its beginning says how quick the app is.
    """
    time = _histogram("time_to_first_byte", "%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:ms)%")
    return {**_stats_log({"histograms": [time]}), "filter": status_filter(_ERROR - 1, op="LE")}


def usage_counters() -> list[ReadObject]:
    """Return the access logs that count requests to models and their tokens by key and route, as a ledger would.

    Tokens are those that the answer says at its end.
    """

    def counter(name: str, value: ReadObject, *more: ReadObject) -> ReadObject:
        return {"stat": {"name": f"{_USAGE}{name}", "tags": [_KEY, _ROUTE, *more]}, **value}

    tokens = [counter(name, {"value_format": f"%DYNAMIC_METADATA({METADATA_NAMESPACE}:{name})%"}) for name in _SUMS]
    one: ReadObject = {"value_fixed": 1}
    uncounted = _all_of(status_filter(200), a_model_was_read(), _has_tokens(is_so=False))
    return [
        {**_stats_log({"counters": [counter("requests", one, _CODE)]}), "filter": a_model_was_read()},
        {**_stats_log({"counters": tokens}), "filter": _all_of(a_model_was_read(), _has_tokens(is_so=True))},
        {**_stats_log({"counters": [counter("requests_without_tokens", one)]}), "filter": uncounted},
    ]


def _has_tokens(*, is_so: bool) -> ReadObject:
    # Envoy ignores `invert` here, and a number is not null.
    value: ReadObject = {"present_match": True} if is_so else {"null_match": {}}
    matcher = {"filter": METADATA_NAMESPACE, "path": [{"key": _SUMS[0]}], "value": value}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": not is_so}}


def _all_of(*filters: ReadObject) -> ReadObject:
    return {"and_filter": {"filters": filters}}


def _histogram(name: str, value: str) -> ReadObject:
    tags: Sequence[ReadObject] = [_ROUTE]
    return {"stat": {"name": name, "tags": tags}, "unit": "Milliseconds", "value_format": value}


def _stats_log(stats: ReadObject) -> ReadObject:
    return {
        "name": "envoy.access_loggers.stats",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config",
            "stats_scope": {"prefix": "bateau"},
            **stats,
        },
    }
