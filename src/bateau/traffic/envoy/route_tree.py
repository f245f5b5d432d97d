"""Find the route of a request by the name of its model, however many models there are.

Called by traffic.envoy.routes.

Envoy tries a list of routes one after another, twice for each request: before the body was read, and when its model is
known. With 200 models that takes more CPU time than everything else. A tree finds the routes of a model at once.
Source: Envoy's "Generic matching", and `VirtualHost.matcher`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from bateau.kit.json_value import ReadJson, ReadObject
from bateau.traffic.envoy.api_paths import MODEL_LIST, TOKENIZE
from bateau.traffic.envoy.names import MODEL_HEADER

_TYPE: Final = "type.googleapis.com/"
# Requests to a model are below it, but for the list of all models, and the one that counts the tokens of a text.
_MODELS: Final = "/v1/"


def route_tree(
    general: Sequence[ReadObject], by_model: Mapping[str, Sequence[ReadObject]], no_model: Sequence[ReadObject]
) -> ReadObject:
    """Return the `matcher` of a virtual host.

    A POST for a model tries only the routes in `by_model`, by the name that it uses, and one for no model that is there
    those in `no_model`; one of them has to match. The latter is also the first choice of each request, before its body
    was read, so those routes are few. All other requests try those in `general`.
    """
    others, posts = _routes("general", general), _routes("no-model", no_model)
    if by_model:
        found = {name: _routes(name, routes) for name, routes in by_model.items()}
        posts = {"matcher": _tree(MODEL_HEADER, "exact_match_map", found, posts)}
    below = {"matcher": _tree(":method", "exact_match_map", {"POST": posts}, others)}
    return _tree(":path", "prefix_match_map", {MODEL_LIST: others, _MODELS: below, TOKENIZE: below}, others)


def _tree(header: str, kind: str, found: Mapping[str, ReadJson], otherwise: ReadObject) -> ReadObject:
    value = {"@type": f"{_TYPE}envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": header}
    tree = {"input": {"name": header, "typed_config": value}, kind: {"map": {**found}}}
    return {"matcher_tree": tree, "on_no_match": otherwise}


def _routes(name: str, routes: Sequence[ReadObject]) -> ReadObject:
    config = {"@type": f"{_TYPE}envoy.config.route.v3.RouteList", "routes": list(routes)}
    return {"action": {"name": name, "typed_config": config}}
