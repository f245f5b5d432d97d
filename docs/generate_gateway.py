# ruff: noqa: INP001 - docs is not a package; Sphinx's configuration finds this file beside itself
"""Turn Envoy's configuration into tables of the responses that the endpoint gives by itself.

Called by generate.

Invariant: the routes are those of a real instance with one model named `chat`.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_WITHOUT_MODEL = {"-missing-": ", body without `model`", "-invalid-": ", body that is not JSON"}


def gateway_routes() -> Iterator[tuple[str, str, str, str]]:
    """Yield (request, status, code, answer) for each route, in the order of matching."""
    from bateau.domain.endpoint import Backend
    from bateau.traffic.envoy.routes import front_routes

    model = Backend(service="model/chat", name="chat", protocol="openai", task="generate", engine="llama.cpp")
    for host in front_routes([model])["virtual_hosts"]:
        for route in host.get("routes") or _in_tree(host["matcher"]):
            request = _match(route["match"]) + (" with another `Host`" if host["domains"] == ["*"] else "")
            direct: Mapping[str, Any] | None = route.get("direct_response")
            if direct is None:
                yield request, "", "", f"forwarded to `{route['route']['cluster']}`"
                continue
            body = json.loads(direct["body"]["inline_string"])
            error: Mapping[str, Any] = body.get("error", {})
            code = f"`{error.get('code') or error['type']}`" if error else ""
            yield request, str(direct["status"]), code, error.get("message") or f"`{json.dumps(body)}`"


def _in_tree(matcher: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the routes of a tree, each once: those of no model come last."""
    lists = dict(_lists(matcher))
    last = lists.pop("no-model")
    first = lists.pop("general")
    every = [*first, *(route for routes in lists.values() for route in routes)]
    return [*(route for route in every if route not in last), *last]


def _lists(tree: Any) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield the name and the routes of each list in a tree."""
    if not isinstance(tree, Mapping):
        return
    if "action" in tree:
        yield tree["action"]["name"], tree["action"]["typed_config"]["routes"]
    for value in tree.values():
        yield from _lists(value)


def gateway_errors() -> Iterator[tuple[str, str, str]]:
    """Yield (status, code, answer) for Envoy's responses to requests that cannot be completed."""
    from bateau.traffic.envoy.replies import ALL, FRONT_ONLY

    for reply in (*FRONT_ONLY, *ALL):
        message = re.sub(r" ?\(%\w+%\)", "", reply.text).replace("%ROUTE_NAME%", "chat")
        message = message.replace("%REQ(x-bateau-key)%", "ci")
        status = f"{reply.status} or above" if reply.or_above else str(reply.becomes or reply.status)
        retry = f" (`Retry-After: {reply.again_s}`)" if reply.again_s else ""
        yield f"{status}{retry}", f"`{reply.code}`", message


def control_api() -> Iterator[tuple[str, str]]:
    """Yield (request, handler) of the control API."""
    from bateau.api import server

    source = inspect.getsource(server)
    from bateau.traffic.envoy.api_paths import EVENTS, WEBHOOK

    for path in (WEBHOOK, EVENTS):
        yield f"POST `{path}`", "`bateau.ports.webhook.Webhook.received`"
    for method, path, handler in re.findall(r'web\.(get|post)\("([^"]+)", self\.(\w+)\)', source):
        yield f"{method.upper()} `{path}`", f"`bateau.api.server.ApiServer.{handler}`"


def _match(match: Mapping[str, Any]) -> str:
    paths = [match["path"]] if "path" in match else match.get("safe_regex", {}).get("regex", "").split("|")
    if below := match.get("path_separated_prefix"):
        paths = [below, f"{below}/*"]
    path = "`, `".join(paths) if any(paths) else f"{match['prefix']}*"
    headers = {header["name"]: _text(header) for header in match.get("headers", ())}
    method = headers.pop(":method", "any other" if "prefix" in match and not headers else "any")
    model = next(iter(headers.values()), None)
    body = "" if model is None else _WITHOUT_MODEL.get(model, f', body with `"model": "{model}"`')
    return f"{method} `{path}`{body}"


def _text(header: Mapping[str, Any]) -> str:
    match = header["string_match"]
    text = str(match.get("exact") or match["safe_regex"]["regex"].replace("|", " or "))
    return f"not {text}" if header.get("invert_match") else text
