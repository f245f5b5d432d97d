"""Have Envoy write one line for each request: who asked, which model answered, and how many tokens that took.

Called by traffic.envoy.counters, traffic.envoy.listener and wiring.filters.

Sources: the fields `usage` of OpenAI's and Anthropic's API references; `timings` of llama.cpp, in the last event of
every stream, whether or not the client asked for usage; W3C Trace Context, version 00.

Invariant: no line contains a part of a prompt, of an answer or of a secret. A model is named by its route, because the
name in the request is the client's text. A `traceparent` is copied only if it consists of hexadecimal numbers. Held by
tests/traffic/test_usage.py.
Refused: an access log over gRPC. It silently loses entries while its receiver is down; a file does not.
Refused: Envoy's sse_to_metadata. An event that is JSON and not an object, such as `data: 0`, ends the process of Envoy
1.40.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.api_paths import MODEL_PATHS
from bateau.traffic.envoy.dynamic_module import module_config, text_config
from bateau.traffic.envoy.lua import script
from bateau.traffic.envoy.names import KEY_HEADER, METADATA_NAMESPACE, MODELS_HEADER, OWNER_HEADER

_TYPE: Final = "type.googleapis.com/envoy.extensions."
_TRACE_HEADER: Final = "traceparent"
# Envoy takes no expression with the lengths; whoever reads the line knows them. One byte more than a whole one has.
_TRACE: Final = "00-[0-9a-f]+-[0-9a-f]+-[0-9a-f]{2}"
_TRACE_MAX: Final = 56
_AS_IT_IS: Final[Mapping[str, ReadObject]] = {}
CALLER_FILTER: Final = "bateau.caller"
USAGE_FILTER: Final = "bateau.usage"
_ABOUT: Final[Mapping[str, str]] = {
    "time": "%START_TIME(%s.%3f)%",
    "id": "%REQ(x-request-id)%",
    "model": "%ROUTE_NAME%",
    "replica": "%UPSTREAM_HOST_NAME%",
    "path": "%PATH(NQ):100%",
}


def _metadata(name: str, length_max: str = "") -> str:
    """Return the field of a value that a filter has found.

    By itself, the operator makes a typed value, which takes Envoy ten times as long as a text. Two operators make a
    text, and the second one is always empty: no filter uses that namespace, and no client can.
    """
    return f"%DYNAMIC_METADATA({METADATA_NAMESPACE}:{name}){length_max}%%DYNAMIC_METADATA(-:-)%"


_FIELDS: Final[Mapping[str, str]] = {
    "v": "2",  # the format of a line
    **_ABOUT,
    "key": _metadata("key"),
    "owner": _metadata("owner"),  # of a caller with a token
    "traceparent": _metadata(_TRACE_HEADER, f":{_TRACE_MAX}"),
    "counts": _metadata("counts"),  # what the answer says, as `usage.lua` names it
    "method": "%REQ(:method)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:ms)%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
}
# Metadata of the request is not known there, but its headers are.
_BEGUN_FIELDS: Final[Mapping[str, str]] = {
    "v": "begun-1",
    **_ABOUT,
    "key": f"%REQ({KEY_HEADER})%",
    "bytes_in": "%REQ(content-length)%",
}
_SENT_TO_A_REPLICA: Final[ReadObject] = {"log_type_filter": {"types": ["UpstreamPoolReady"]}}
_KNOWN_PATH: Final[ReadObject] = {
    "name": ":path",
    "string_match": {"safe_regex": {"regex": f"({'|'.join(MODEL_PATHS)})([?].*)?"}},
}


def caller_filter() -> ReadObject:
    """Return the HTTP filter that remembers the name of the key, because a route may remove the header, and the trace.

    From the translator come two headers more, which no replica gets. A trace of another form is replaced by an empty
    text, and an empty text is not remembered.
    """
    form = {"pattern": {"regex": f"(?s)^({_TRACE})$|.*"}, "substitution": "\\1"}
    rules = [
        _remembered(KEY_HEADER, "key"),
        _remembered(OWNER_HEADER, "owner", remove=True),
        _remembered(MODELS_HEADER, "models", remove=True),
        _remembered(_TRACE_HEADER, _TRACE_HEADER, rewritten={"regex_value_rewrite": form}),
    ]
    return _filter(CALLER_FILTER, "filters.http.header_to_metadata.v3.Config", {"request_rules": rules})


def _remembered(
    header: str, name: str, *, remove: bool = False, rewritten: Mapping[str, ReadObject] = _AS_IT_IS
) -> ReadObject:
    """Return the rule that copies a header into metadata."""
    to = {"metadata_namespace": METADATA_NAMESPACE, "key": name, "type": "STRING", **rewritten}
    return {"header": header, "on_header_present": to, "remove": remove}


def usage_filter(*, sums: bool = False) -> ReadObject:
    """Return the HTTP filter that reads the usage in an answer, without holding a stream.

    With `sums`, the counters of `usage_counters` have their values from it.
    """
    code = f"local SUMS = {str(sums).lower()}\n{script('usage.lua')}"
    return _filter(USAGE_FILTER, "filters.http.lua.v3.Lua", {"default_source_code": {"inline_string": code}})


def begun_log(path: PurePath) -> ReadObject:
    """Return the access log of the router that writes a line when a request has been sent to a replica.

    A gateway that is killed cannot say how its requests ended, but engines have worked for them.
    """
    filters = [_SENT_TO_A_REPLICA, {"header_filter": {"header": _KNOWN_PATH}}]
    return _file_log(path, {"and_filter": {"filters": filters}}, _BEGUN_FIELDS)


def native_begun_log(library: PurePath, ledger: PurePath | None) -> ReadObject:
    """Return the access log as `begun_log`, by which the library of the native filter writes the line.

    It is in the file within a millisecond. Envoy's own is within 20.
    """
    return {
        "name": "envoy.access_loggers.dynamic_modules",
        "filter": _SENT_TO_A_REPLICA,
        "typed_config": {
            "@type": _TYPE + "access_loggers.dynamic_modules.v3.DynamicModuleAccessLog",
            "dynamic_module_config": module_config(library),
            "logger_name": "bateau.begun",
            "logger_config": text_config(
                {
                    "format": 1,
                    "ledger": None if ledger is None else str(ledger),
                    "model_paths": list(MODEL_PATHS),
                }
            ),
        },
    }


def ledger_log(path: PurePath) -> ReadObject:
    """Return the access log that writes a line for each request to a model, also if it is refused.

    Other paths are left out, because they are the client's text.
    """
    written = {"or_filter": {"filters": [{"header_filter": {"header": _KNOWN_PATH}}, a_model_was_read()]}}
    return _file_log(path, written, _FIELDS)


def a_model_was_read() -> ReadObject:
    """Return an access log filter for requests whose body names a model, known or not."""
    matcher = {
        "filter": METADATA_NAMESPACE,
        "path": [{"key": "model"}],
        "value": {"string_match": {"safe_regex": {"regex": "[A-Za-z0-9](?s:.*)"}}},
    }
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}


def _file_log(path: PurePath, log_filter: ReadObject, fields: Mapping[str, str]) -> ReadObject:
    return {
        "name": "envoy.access_loggers.file",
        "filter": log_filter,
        "typed_config": {
            "@type": _TYPE + "access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": fields, "omit_empty_values": True},
        },
    }


def _filter(name: str, type_name: str, config: ReadObject) -> ReadObject:
    return {"name": name, "typed_config": {"@type": _TYPE + type_name, **config}}
