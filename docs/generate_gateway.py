# ruff: noqa: INP001 - docs is not a package; Sphinx's configuration finds this file beside itself
"""Turn Envoy's configuration into tables of the responses that the endpoint gives by itself.

Called by generate.

Invariant: the routes are those of a real instance with one model named `chat`.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WITHOUT_MODEL = {"-missing-": ", body without `model`", "-invalid-": ", body that is not JSON"}


def gateway_routes() -> Iterator[tuple[str, str, str, str]]:
    """Yield (request, status, code, answer) for each route, in the order of matching."""
    from bateau.domain.endpoint import Backend
    from bateau.traffic.envoy.routes import front_routes

    model = Backend(service="model/chat", name="chat", protocol="openai", task="generate")
    for host in front_routes([model])["virtual_hosts"]:
        for route in host["routes"]:
            request = _match(route["match"]) + (" with another `Host`" if host["domains"] == ["*"] else "")
            direct: Mapping[str, Any] | None = route.get("direct_response")
            if direct is None:
                yield request, "", "", f"forwarded to `{route['route']['cluster']}`"
                continue
            body = json.loads(direct["body"]["inline_string"])
            error: Mapping[str, Any] = body.get("error", {})
            code = f"`{error['code']}`" if error else ""
            yield request, str(direct["status"]), code, error.get("message") or f"`{json.dumps(body)}`"


def gateway_errors() -> Iterator[tuple[str, str, str]]:
    """Yield (status, code, answer) for Envoy's responses to requests that cannot be completed."""
    from bateau.traffic.envoy.listener import front_listener

    manager = front_listener("127.0.0.1", 8080)["filter_chains"][0]["filters"][0]["typed_config"]
    for mapper in manager["local_reply_config"]["mappers"]:
        error = mapper["body_format_override"]["json_format"]["error"]
        message = re.sub(r" ?\(%\w+%\)", "", error["message"]).replace("%ROUTE_NAME%", "chat")
        retry = "".join(f" (`Retry-After: {h['header']['value']}`)" for h in mapper.get("headers_to_add", ()))
        yield f"{_status(mapper['filter'])}{retry}", f"`{error['code']}`", message


def control_api() -> Iterator[tuple[str, str]]:
    """Yield (request, handler) of the control API."""
    from bateau.api import server

    source = inspect.getsource(server)
    for method, path, handler in re.findall(r'web\.(get|post)\("([^"]+)", self\.(\w+)\)', source):
        yield f"{method.upper()} `{path}`", f"`bateau.api.server.ApiServer.{handler}`"


def _match(match: Mapping[str, Any]) -> str:
    path = match.get("path") or f"{match['prefix']}*"
    headers = {header["name"]: header["string_match"]["exact"] for header in match.get("headers", ())}
    method = headers.pop(":method", "any other" if "prefix" in match and not headers else "any")
    model = next(iter(headers.values()), None)
    body = "" if model is None else _WITHOUT_MODEL.get(model, f', body with `"model": "{model}"`')
    return f"{method} `{path}`{body}"


def _status(condition: Mapping[str, Any]) -> int:
    parts: Sequence[Mapping[str, Any]] = condition.get("and_filter", {}).get("filters") or [condition]
    found = next(part["status_code_filter"] for part in parts if "status_code_filter" in part)
    return int(found["comparison"]["value"]["default_value"])
