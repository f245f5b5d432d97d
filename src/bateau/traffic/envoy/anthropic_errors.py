"""The shape in which Anthropic's API reports errors, so that its clients raise their own exception types.

Called by traffic.envoy.api_paths, traffic.envoy.replies and traffic.envoy.routes. Source: Anthropic API reference,
"Errors"; its clients map status codes to exceptions.
"""

from collections.abc import Mapping
from typing import Final

from bateau.kit.json_value import ReadObject

MESSAGES: Final = "/v1/messages"  # the beginning of every path of this API

_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_SERVER: Final = 500


def anthropic_error(message: str, *, status: int) -> ReadObject:
    """Return the error object. Its text may contain Envoy's command operators.

    >>> anthropic_error("no", status=404)
    {'type': 'error', 'error': {'type': 'not_found_error', 'message': 'no'}}
    """
    kind = _TYPES.get(status, "api_error" if status >= _SERVER else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}}
