"""The error responses of Envoy itself: OpenAI's error shape, the cause, and a remedy.

Called by traffic.envoy.listener and traffic.envoy.routes.

Invariant: no error of Envoy itself has an empty body or plain text. Responses of replicas and routes are not changed.
Held by tests/traffic/test_errors.py and tests/traffic/test_app_paths.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bateau.kit.json_value import ReadJson, ReadObject
from bateau.traffic.envoy.openai_errors import error_body

# Bodies up to 20 MB must pass. Envoy buffers the whole body to read the model from it and to retry.
BODY_BYTES_MAX = 32 * 1024 * 1024
RETRY_AFTER_S = 2

_CONTROL_PATHS = "/metrics|/-/webhooks/git"
_CEL = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One error: its status (with `or_above`, that or a higher one), Envoy's response flags, and its text.

    `text` may contain Envoy's command operators. With `again`, the response tells the client when to retry.
    """

    status: int
    text: str
    code: str
    flags: Sequence[str] = ()
    path: str | None = None
    or_above: bool = False
    again: bool = False
    kind: str = field(default="server_error")


FRONT_ONLY = (
    Reply(
        status=503,
        path=_CONTROL_PATHS,
        text="The control plane is not running; metrics and webhooks need it. Models are served without it.",
        code="control_plane_down",
        again=True,
    ),
)
ALL = (
    Reply(
        status=503,
        flags=("UO",),
        text="'%ROUTE_NAME%' has too many requests in flight and waiting (%RESPONSE_FLAGS%). Try again later.",
        code="overloaded",
        again=True,
    ),
    Reply(
        status=503,
        flags=("UC", "UR"),
        text="'%ROUTE_NAME%' closed the connection before it answered (%RESPONSE_FLAGS%). The request may have been "
        "processed.",
        code="connection_closed",
    ),
    Reply(
        status=503,
        text="No replica of '%ROUTE_NAME%' can answer now (%RESPONSE_FLAGS%). Try again shortly; `bateau status` shows "
        "the cause.",
        code="no_ready_replica",
        again=True,
    ),
    Reply(
        status=413,
        text=f"The request body is larger than {BODY_BYTES_MAX // 2**20} MiB.",
        code="request_too_large",
        kind="invalid_request_error",
    ),
    Reply(status=504, text="The replica did not answer in time.", code="timeout", again=True),
    Reply(status=502, text="The replica sent an answer that is not valid HTTP (%RESPONSE_FLAGS%).", code="bad_gateway"),
    Reply(
        status=500,
        text="The gateway could not complete the request (%RESPONSE_CODE_DETAILS%).",
        code="gateway_error",
        or_above=True,
    ),
    Reply(
        status=400,
        text="The gateway rejected the request (%RESPONSE_CODE_DETAILS%).",
        code="bad_request",
        kind="invalid_request_error",
        or_above=True,
    ),
)


def local_replies(replies: Sequence[Reply]) -> ReadObject:
    """Return the LocalReplyConfig of some replies. Envoy uses the first one that matches."""
    return {"mappers": [_mapper(reply) for reply in replies]}


def _mapper(reply: Reply) -> ReadObject:
    filters = [status_filter(reply.status, op="GE" if reply.or_above else "EQ"), _not_of_a_route()]
    if reply.flags:
        filters.append({"response_flag_filter": {"flags": list(reply.flags)}})
    if reply.path:
        path = {"name": ":path", "string_match": {"safe_regex": {"regex": reply.path}}}
        filters.append({"header_filter": {"header": path}})
    body = error_body(reply.text, kind=reply.kind, code=reply.code)
    mapper: dict[str, ReadJson] = {
        "filter": {"and_filter": {"filters": filters}},
        "body_format_override": {"json_format": body, "content_type": "application/json"},
    }
    if reply.again:
        mapper["headers_to_add"] = [_header("retry-after", str(RETRY_AFTER_S))]
    return mapper


def status_filter(status: int, *, op: str = "EQ") -> ReadObject:
    """Return an access log filter for a response's status."""
    value = {"default_value": status, "runtime_key": f"bateau.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": op, "value": value}}}


def _not_of_a_route() -> ReadObject:
    """Exclude the direct responses of routes: they are local replies too, and have their own text."""
    expression = {"@type": _CEL, "expression": "response.code_details != 'direct_response'"}
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": expression}}


def _header(name: str, value: str) -> ReadObject:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
