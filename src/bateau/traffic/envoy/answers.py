"""Routes that need no replica: Envoy answers them itself.

Called by traffic.envoy.model_list and traffic.envoy.routes.
"""

from typing import Final

from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.openai_errors import direct_response, json_content_type

SAFE_METHODS: Final = "GET|HEAD"


def get(path: str) -> ReadObject:
    """Return the match of a path, for requests that change nothing."""
    return {"path": path, "headers": [safe_method()]}


def get_prefix(prefix: str) -> ReadObject:
    """Return the match of the paths below one, for requests that change nothing."""
    return {"prefix": prefix, "headers": [safe_method()]}


def safe_method() -> ReadObject:
    """Return the match of the methods of such requests."""
    return {"name": ":method", "string_match": {"safe_regex": {"regex": SAFE_METHODS}}}


def answer(match: ReadObject, status: int, body: ReadObject, *, name: str) -> ReadObject:
    """Return a Route that Envoy answers itself."""
    return {
        # Names of models are DNS labels, so none begins with a dash.
        "name": f"-{name}-",
        "match": match,
        "direct_response": direct_response(status, body),
        "response_headers_to_add": json_content_type(),
    }
