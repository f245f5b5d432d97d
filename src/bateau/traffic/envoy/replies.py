"""The error responses of Envoy itself: in the error shape of the API that was called, the cause, and a remedy.

Called by traffic.envoy.

Invariant: no error of Envoy itself has an empty body or plain text. Responses of replicas and routes are not changed.
Held by tests/traffic/test_errors.py and tests/traffic/test_app_paths.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from bateau.kit.json_value import ReadJson, ReadObject
from bateau.traffic.envoy.anthropic_errors import MESSAGES, anthropic_error
from bateau.traffic.envoy.api_paths import EVENTS, ROLES, WEBHOOK
from bateau.traffic.envoy.dashboard import dashboard_pages
from bateau.traffic.envoy.hold import SAYS
from bateau.traffic.envoy.key_filters import BUDGET, KEY_HEADER
from bateau.traffic.envoy.model_limits import TOKENS_OF_KEY, TOKENS_OF_MODEL
from bateau.traffic.envoy.names import MODEL_HEADER, REFUSED_HEADER
from bateau.traffic.envoy.openai_errors import error_body
from bateau.traffic.envoy.plain_errors import PATHS, plain_error

# Bodies up to 20 MB must pass. Envoy buffers the whole body to read the model from it and to retry.
BODY_BYTES_MAX = 32 * 1024 * 1024
RETRY_AFTER_S = 2

_OF_TOKENS = "jwt_authn_access_denied{"
_CONTROL_PATHS = f"/metrics|{WEBHOOK}|{EVENTS}"
# Envoy has the same details for all refusals of filters in Lua, so one with several reasons writes them to a header.
_WHY = f"('{REFUSED_HEADER}' in request.headers ? request.headers['{REFUSED_HEADER}'] : response.code_details)"
_CEL = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One error: its status (with `or_above`, that or a higher one), Envoy's response flags, and its text.

    `text` may contain Envoy's command operators. `has_model`: the model of the request was read. `details` is the
    beginning of Envoy's response code details. With `again_s`, the response tells the client after how many seconds to
    retry; with `becomes`, it has another status than Envoy gave it. `param` is the field that is wrong.
    """

    status: int
    text: str
    code: str
    flags: Sequence[str] = ()
    details: str | None = None
    becomes: int | None = None
    path: str | None = None
    has_model: bool = False
    or_above: bool = False
    again_s: int | None = None
    param: str | None = None
    kind: str = field(default="server_error")


def _used_up(policy: str, text: str, *, again_s: int, code: str = "rate_limit_exceeded", kind: str = "tokens") -> Reply:
    """Return the error where a policy refuses a key or a model because of its usage."""
    return Reply(
        status=403,
        details=f"rbac_access_denied_matched_policy[{policy}",
        becomes=429,
        text=text,
        code=code,
        kind=kind,
        again_s=again_s,
    )


FRONT_ONLY = (
    Reply(
        status=503,
        flags=("NC",),
        text="'%ROUTE_NAME%' was asleep and did not wake up in time; /v1/models/%ROUTE_NAME% says what it waits for.",
        code="model_sleeps",
        again_s=RETRY_AFTER_S,
    ),
    Reply(
        status=503,
        details="local_rate_limited",
        text=f"'%ROUTE_NAME%' is asleep, and as many requests as may are waiting for it: {SAYS}. Try again shortly.",
        code="model_sleeps",
        again_s=RETRY_AFTER_S,
    ),
    Reply(
        status=503,
        path=_CONTROL_PATHS,
        text="The control plane is not running; metrics, webhooks and events need it. Models are served without it.",
        code="control_plane_down",
        again_s=RETRY_AFTER_S,
    ),
    Reply(
        status=503,
        details="ledger_not_written",
        text="The usage of requests cannot be written at the moment, and this endpoint answers none without it.",
        code="ledger_not_written",
        again_s=RETRY_AFTER_S,
    ),
    Reply(
        status=400,
        details="no_messages",
        text="`messages` is empty: send at least one message.",
        code="empty_array",
        kind="invalid_request_error",
        param="messages",
    ),
    *(
        Reply(
            status=400,
            details="unknown_role",
            path=f"{path}([?].*)?",
            text=f"Each message needs a `role`, one of: {', '.join(roles)}.",
            code="invalid_value",
            kind="invalid_request_error",
            param="messages",
        )
        for path, roles in ROLES.items()
    ),
    Reply(
        status=401,
        details="missing_api_key",
        text="This endpoint needs an API key: send `Authorization: Bearer bateau_...` or `x-api-key: bateau_...`.",
        code="missing_api_key",
        kind="invalid_request_error",
    ),
    Reply(
        status=403,
        details=f"{_OF_TOKENS}Audiences_in_Jwt_are_not_allowed",
        becomes=401,
        text="The token is for another audience than this endpoint.",
        code="wrong_audience",
        kind="invalid_request_error",
    ),
    *(
        Reply(status=401, details=details, text=text, code=code, kind="invalid_request_error")
        for details, text, code in (
            (f"{_OF_TOKENS}Jwt_is_expired", "The token has expired.", "expired_token"),
            (f"{_OF_TOKENS}Jwt_not_yet_valid", "The token is not valid yet.", "invalid_token"),
            (
                f"{_OF_TOKENS}Jwt_issuer_is_not_configured",
                "The token is of an issuer that this endpoint does not accept.",
                "unknown_issuer",
            ),
            (
                _OF_TOKENS,
                "The token cannot be verified: its form, its algorithm, its signature or its expiry is wrong.",
                "invalid_token",
            ),
            ("lua_response", "The token has no subject, or one that is too long.", "invalid_token"),
        )
    ),
    Reply(
        status=401,
        text="The API key is not one of this endpoint, or it was revoked.",
        code="invalid_api_key",
        kind="invalid_request_error",
    ),
    Reply(
        status=403,
        details="rbac_access_denied_matched_policy[expired",
        becomes=401,
        text=f"The API key '%REQ({KEY_HEADER})%' has expired.",
        code="expired_api_key",
        kind="invalid_request_error",
    ),
    Reply(
        status=429,
        details="concurrent_requests",
        text=f"The API key '%REQ({KEY_HEADER})%' may have %DYNAMIC_METADATA(bateau:concurrent)% requests in flight at "
        "once.",
        code="rate_limit_exceeded",
        kind="requests",
        again_s=1,
    ),
    Reply(
        status=429,
        details="fair_share",
        text=f"The API key '%REQ({KEY_HEADER})%' may have %DYNAMIC_METADATA(bateau:share)% requests at this model now: "
        "other keys have requests there, too, and share its queue.",
        code="rate_limit_exceeded",
        kind="requests",
        again_s=1,
    ),
    _used_up(
        f"{BUDGET}-minute",
        f"The API key '%REQ({KEY_HEADER})%' has used as many tokens as it may in a minute.",
        again_s=10,
    ),
    *(
        _used_up(
            f"{BUDGET}-{of}{period}",
            f"The API key '%REQ({KEY_HEADER})%' has used up {what} in a {period}. {ends}",
            again_s=again_s,
            code="insufficient_quota",
            kind="insufficient_quota",
        )
        for of, what in (
            ("", "the tokens that it may use"),
            ("money-", "the money that it may spend"),
            ("energy-", "the energy (kWh) that it may use"),
        )
        for period, ends, again_s in (
            ("day", "The next day begins at 00:00 UTC.", 600),
            ("month", "The next month begins on its first day at 00:00 UTC.", 3600),
        )
    ),
    _used_up(
        TOKENS_OF_MODEL,
        "'%ROUTE_NAME%' has used as many tokens as it may in a minute, for all of its clients together.",
        again_s=10,
    ),
    _used_up(
        TOKENS_OF_KEY,
        f"The API key '%REQ({KEY_HEADER})%' has used as many tokens of '%ROUTE_NAME%' as it may in a minute.",
        again_s=10,
    ),
    *(
        Reply(status=403, details=details, text=text, code="model_not_allowed", kind="invalid_request_error")
        for details, text in (
            ("rbac_access_denied", f"The API key '%REQ({KEY_HEADER})%' may not use this model."),
            *(
                (details, f"The token of '%REQ({KEY_HEADER})%' does not allow this model.")
                for details in ("lua_response", "claimed_models")
            ),
        )
    ),
    Reply(
        status=429,
        details="local_rate_limited",
        has_model=True,
        text="'%ROUTE_NAME%' has been sent as many requests as it may in a minute, by this key or by all together.",
        code="rate_limit_exceeded",
        kind="requests",
    ),
    Reply(
        status=429,
        details="local_rate_limited",
        text=f"The API key '%REQ({KEY_HEADER})%' has sent as many requests as it may in a minute.",
        code="rate_limit_exceeded",
        kind="requests",
    ),
)
ALL = (
    Reply(
        status=503,
        flags=("UO",),
        text="'%ROUTE_NAME%' has too many requests in flight and waiting (%RESPONSE_FLAGS%). Try again later.",
        code="overloaded",
        again_s=RETRY_AFTER_S,
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
        again_s=RETRY_AFTER_S,
    ),
    Reply(
        status=413,
        text=f"The request body is larger than {BODY_BYTES_MAX // 2**20} MiB.",
        code="request_too_large",
        kind="invalid_request_error",
    ),
    Reply(status=504, text="The replica did not answer in time.", code="timeout", again_s=RETRY_AFTER_S),
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


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """The shape of the errors of an API, and a regular expression of its paths; None: all others."""

    error: Callable[[Reply], ReadObject]
    paths: str | None = None


_OPENAI = _Shape(error=lambda reply: error_body(reply.text, kind=reply.kind, code=reply.code, param=reply.param))
_ANTHROPIC = _Shape(
    error=lambda reply: anthropic_error(reply.text, status=reply.becomes or reply.status), paths=f"{MESSAGES}.*"
)
_PLAIN = _Shape(error=lambda reply: plain_error(reply.text), paths=PATHS)


def local_replies(replies: Sequence[Reply]) -> ReadObject:
    """Return the LocalReplyConfig of some replies. Envoy uses the first one that matches."""
    return {"mappers": [_mapper(reply) for reply in replies]}


def front_replies(replies: Sequence[Reply]) -> ReadObject:
    """Return the LocalReplyConfig of the endpoint: in the shape of the API that has the path, or in OpenAI's."""
    mappers = [_mapper(reply, shape) for reply in replies for shape in (_ANTHROPIC, _PLAIN, _OPENAI)]
    return {"mappers": [*dashboard_pages(status_filter(503), status_filter(429)), *mappers]}


def _mapper(reply: Reply, shape: _Shape = _OPENAI) -> ReadObject:
    filters = [status_filter(reply.status, op="GE" if reply.or_above else "EQ"), _details(reply.details)]
    if reply.flags:
        filters.append({"response_flag_filter": {"flags": list(reply.flags)}})
    if reply.path:
        path = {"name": ":path", "string_match": {"safe_regex": {"regex": reply.path}}}
        filters.append({"header_filter": {"header": path}})
    if reply.has_model:
        filters.append({"header_filter": {"header": {"name": MODEL_HEADER, "present_match": True}}})
    if shape.paths:
        path = {"name": ":path", "string_match": {"safe_regex": {"regex": shape.paths}}}
        filters.append({"header_filter": {"header": path}})
    status = reply.becomes or reply.status
    body = shape.error(reply)
    mapper: dict[str, ReadJson] = {
        "filter": {"and_filter": {"filters": filters}},
        "body_format_override": {"json_format": body, "content_type": "application/json"},
    }
    if reply.becomes:
        mapper["status_code"] = reply.becomes
    if reply.again_s:
        mapper["headers_to_add"] = [_header("retry-after", str(reply.again_s))]
    if status == HTTPStatus.UNAUTHORIZED:
        mapper["headers_to_add"] = [_header("www-authenticate", "Bearer")]
    return mapper


def status_filter(status: int, *, op: str = "EQ") -> ReadObject:
    """Return an access log filter for a response's status."""
    value = {"default_value": status, "runtime_key": f"bateau.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": op, "value": value}}}


def _details(beginning: str | None) -> ReadObject:
    """Match the beginning of Envoy's response code details, or of why a filter in Lua has refused the request.

    The direct responses of routes, and those of other filters in Lua, never match: they are local replies too, with
    their own text.
    """
    expression = {
        "@type": _CEL,
        "expression": f"{_WHY}.startsWith('{beginning}')"
        if beginning
        else f"!({_WHY} in ['direct_response', 'lua_response'])",
    }
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": expression}}


def _header(name: str, value: str) -> ReadObject:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
