"""The shape in which OpenAI's API reports errors, so that its clients raise their own exception types.

Used by routes (answers that need no replica) and listener (Envoy's own replies).
Source: OpenAI API reference, "Error codes"; the Python client maps status codes to exceptions and reads `error.code`.
"""

import json

from bateau.kit.json_value import ReadObject


def error_body(message: str, *, kind: str, code: str | None, param: str | None = None) -> ReadObject:
    """Return the error object. Its text may contain Envoy's command operators."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def invalid_request(message: str, *, code: str, param: str | None = None) -> ReadObject:
    """Return the error for a request that the client must change."""
    return error_body(message, kind="invalid_request_error", code=code, param=param)


def plain_text(message: str) -> str:
    """Escape text that Envoy would read as a command operator."""
    return message.replace("%", "%%")


def direct_response(status: int, body: ReadObject) -> ReadObject:
    """Return a route's `direct_response` with `body` as JSON."""
    return {"status": status, "body": {"inline_string": json.dumps(body, ensure_ascii=False)}}


def json_content_type() -> list[ReadObject]:
    """Return the header option that replaces Envoy's text/plain on a direct response."""
    return [
        {
            "header": {"key": "content-type", "value": "application/json"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    ]
