"""Have Envoy write one line for each request: who asked, which model answered, and how many tokens that took.

Called by traffic.envoy.listener. store.ledger reads the lines.

Source: the fields `usage` of OpenAI's and Anthropic's API references; `timings` of llama.cpp, in the last event of
every stream, whether or not the client asked for usage.

Invariant: no line contains a part of a prompt, of an answer or of a secret. A model is named by its route, because the
name in the request is the client's text. Held by tests/traffic/test_usage.py.
Refused: an access log over gRPC. It loses entries silently while its receiver is down; a file does not.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from bateau.kit.json_value import ReadJson, ReadObject
from bateau.traffic.envoy.key_filters import KEY_HEADER

_TYPE: Final = "type.googleapis.com/envoy.extensions."
_NAMESPACE: Final = "bateau"
CALLER_FILTER: Final = "bateau.caller"
USAGE_FILTERS: Final = ("bateau.usage.json", "bateau.usage.stream")
# Large enough for an event with a whole answer; a larger one is passed on and not read.
_EVENT_BYTES_MAX: Final = 1024 * 1024

# Where an answer says its usage, by the name of the field in a line.
_COUNTS: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt_tokens": ("usage", "prompt_tokens"),
    "completion_tokens": ("usage", "completion_tokens"),
    "cached_tokens": ("usage", "prompt_tokens_details", "cached_tokens"),
    "input_tokens": ("usage", "input_tokens"),
    "output_tokens": ("usage", "output_tokens"),
    "cache_read_tokens": ("usage", "cache_read_input_tokens"),
    "input_cached_tokens": ("usage", "input_tokens_details", "cached_tokens"),
    "message_input_tokens": ("message", "usage", "input_tokens"),
    "message_cache_read_tokens": ("message", "usage", "cache_read_input_tokens"),
    "response_input_tokens": ("response", "usage", "input_tokens"),
    "response_output_tokens": ("response", "usage", "output_tokens"),
    "response_cached_tokens": ("response", "usage", "input_tokens_details", "cached_tokens"),
    "timings_prompt": ("timings", "prompt_n"),
    "timings_cached": ("timings", "cache_n"),
    "timings_predicted": ("timings", "predicted_n"),
}
_FIELDS: Final[Mapping[str, str]] = {
    "v": "1",  # the format of a line
    "time": "%START_TIME(%s.%3f)%",
    "id": "%REQ(x-request-id)%",
    "key": f"%DYNAMIC_METADATA({_NAMESPACE}:key)%",
    "model": "%ROUTE_NAME%",
    "replica": "%UPSTREAM_HOST_NAME%",
    "method": "%REQ(:method)%",
    "path": "%PATH(NQ)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:ms)%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
}


def caller_filter() -> ReadObject:
    """Return the HTTP filter that remembers the name of the key: the header is removed before a replica is asked."""
    rule = {
        "header": KEY_HEADER,
        "on_header_present": {"metadata_namespace": _NAMESPACE, "key": "key", "type": "STRING"},
        "remove": False,
    }
    return _filter(CALLER_FILTER, "filters.http.header_to_metadata.v3.Config", {"request_rules": [rule]})


def usage_filters() -> list[ReadObject]:
    """Return the HTTP filters that read the usage in an answer, without holding a stream."""
    whole = [
        {"selectors": [{"key": step} for step in path], "on_present": _number(name)} for name, path in _COUNTS.items()
    ]
    parser = {
        "name": "envoy.content_parsers.json",
        "typed_config": {
            "@type": _TYPE + "content_parsers.json.v3.JsonContentParser",
            "rules": [{"rule": rule} for rule in whole],
        },
    }
    # By default the type must be exactly application/json, and engines add a charset.
    answers = {"rules": whole, "allow_content_types_regex": {"regex": "(?i)application/json.*"}}
    json_name, stream_name = USAGE_FILTERS
    return [
        _filter(json_name, "filters.http.json_to_metadata.v3.JsonToMetadata", {"response_rules": answers}),
        _filter(
            stream_name,
            "filters.http.sse_to_metadata.v3.SseToMetadata",
            {"response_rules": {"max_event_size": _EVENT_BYTES_MAX, "content_parser": parser}},
        ),
    ]


def ledger_log(path: PurePath) -> ReadObject:
    """Return the access log that writes a line for each request below /v1/."""
    counts = {name: f"%DYNAMIC_METADATA({_NAMESPACE}:{name})%" for name in _COUNTS}
    return {
        "name": "envoy.access_loggers.file",
        "filter": {"header_filter": {"header": {"name": ":path", "string_match": {"prefix": "/v1/"}}}},
        "typed_config": {
            "@type": _TYPE + "access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": {**_FIELDS, **counts}, "omit_empty_values": True},
        },
    }


def _number(name: str) -> Mapping[str, ReadJson]:
    return {"metadata_namespace": _NAMESPACE, "key": name, "type": "NUMBER"}


def _filter(name: str, type_name: str, config: ReadObject) -> ReadObject:
    return {"name": name, "typed_config": {"@type": _TYPE + type_name, **config}}
