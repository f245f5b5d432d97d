"""Encode the routes of all models, each route once: a model that wakes up changes one of them.

Called by traffic.envoy.resources.

Invariant: Envoy gets the same routes as if they were encoded as a whole. Held by
tests/traffic/test_route_encoding.py::test_routes_encoded_one_by_one_are_those_of_the_whole.
"""

import json
from typing import Any, Final

from bateau.kit.json_value import ReadJson, ReadObject, array_at, is_array, is_object, object_at, text_at
from bateau.traffic.envoy.api import EnvoyApi, wire_form

_CONFIGURATION: Final = "envoy.config.route.v3.RouteConfiguration"
_LIST: Final = "envoy.config.route.v3.RouteList"
_MAPS: Final = ("exact_match_map", "prefix_match_map")


class RouteEncoder:
    """Encodes one route configuration after another, with the API of one Envoy. It keeps the routes of the latest."""

    def __init__(self, api: EnvoyApi) -> None:
        self._api = api
        self._before: dict[str, bytes] = {}
        self._used: dict[str, bytes] = {}

    def encode(self, configuration: ReadObject) -> bytes:
        """Return the wire form of a RouteConfiguration whose virtual hosts have routes in a list or in a tree.

        Raises ParseError for a field that this Envoy does not have.
        """
        lists: dict[int, bytes] = {}
        message: Any = self._api.message(_CONFIGURATION, object_at(_without_routes(configuration)))
        for host, made in zip(array_at(configuration, "virtual_hosts"), message.virtual_hosts, strict=True):
            if tree := object_at(host, "matcher"):
                self._fill(tree, made.matcher, lists)
        self._before, self._used = self._used, {}
        return wire_form(message)

    def routes(self, routes: ReadJson) -> bytes:
        """Return the wire form of a RouteList: lists one after another are one list. Raises ParseError."""
        return b"".join(map(self._route, routes if is_array(routes) else ()))

    def _route(self, route: ReadJson) -> bytes:
        key = json.dumps(route, sort_keys=True)  # encoding a dict moves its `@type` to its end
        made = self._used.get(key) or self._before.get(key) or self._api.encode(_LIST, {"routes": [route]})
        self._used[key] = made
        return made

    def _fill(self, tree: ReadObject, made: Any, lists: dict[int, bytes]) -> None:
        """Put the routes into a tree that was made without them: see `route_tree`."""
        found = object_at(tree, "matcher_tree")
        for kind in _MAPS:
            for name, match in object_at(found, kind, "map").items():
                self._fill_match(object_at(match), getattr(made.matcher_tree, kind).map[name], lists)
        self._fill_match(object_at(tree, "on_no_match"), made.on_no_match, lists)

    def _fill_match(self, match: ReadObject, made: Any, lists: dict[int, bytes]) -> None:
        if tree := object_at(match, "matcher"):
            return self._fill(tree, made.matcher, lists)
        routes = array_at(match, "action", "typed_config", "routes")
        # Several branches of the tree have the same list.
        known = lists.get(id(routes))
        made.action.typed_config.value = lists[id(routes)] = self.routes(routes) if known is None else known
        return None


def _without_routes(tree: ReadJson) -> ReadJson:
    """Return a copy in which each RouteList is empty."""
    if is_object(tree):
        if text_at(tree, "@type").endswith(f"/{_LIST}"):
            return {"@type": tree["@type"]}
        return {key: _without_routes(each) for key, each in tree.items()}
    return [_without_routes(each) for each in tree] if is_array(tree) else tree
