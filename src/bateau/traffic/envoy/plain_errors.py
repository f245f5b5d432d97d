"""The shape in which the translated APIs report errors: Ollama's, and the Open Inference Protocol.

Called by traffic.envoy.replies. Source: Ollama's API reference; Open Inference Protocol, version 2, "Inference".
"""

from typing import Final

from bateau.kit.json_value import ReadObject

PATHS: Final = "/(api|v2)(/.*)?"  # a regular expression of the paths of these APIs


def plain_error(message: str) -> ReadObject:
    """Return the error object. Its text may contain Envoy's command operators."""
    return {"error": message}
