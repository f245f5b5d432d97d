"""Let web pages of some origins use the endpoint: cross-origin resource sharing.

Called by traffic.envoy.listener.

A browser asks first, without a key, so the filter stands before those that check keys.
Source: https://fetch.spec.whatwg.org/#http-cors-protocol.

Invariant: a web page of any other origin can neither send JSON nor read an answer. Held by
tests/traffic/test_cors.py::test_pages_of_other_origins_are_not_allowed.
Refused: any origin. A page could then use the models of everybody who opens it while no key is needed.
Refused: Envoy's cors filter. It does nothing on routes that answer by themselves, and before the body is read each
request to a model is on such a route.
"""

from collections.abc import Iterable
from typing import Final

from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.lua import quoted, script

_CORS: Final = "bateau.cors"
_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
# Clients of OpenAI, Anthropic and Ollama in a browser send many; `*` does not contain authorization.
_HEADERS: Final = "authorization, *"
_READABLE: Final = (
    "x-request-id, retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests"
)
_DAY_S: Final = "86400"


def cors_filter(origins: Iterable[str]) -> ReadObject:
    """Return the HTTP filter that lets web pages of `origins` use the endpoint."""
    code = script("cors.lua")
    listed = ", ".join(f"[{quoted(origin)}] = true" for origin in origins)
    constants = {"HEADERS": quoted(_HEADERS), "READABLE": quoted(_READABLE), "MAX_AGE": quoted(_DAY_S)}
    head = "".join(f"local {name} = {value}\n" for name, value in {"ORIGINS": f"{{{listed}}}", **constants}.items())
    return {"name": _CORS, "typed_config": {"@type": _TYPE, "default_source_code": {"inline_string": head + code}}}
