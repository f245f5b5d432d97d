"""Requests as the cluster of one service sends them: for its host, path and name of the model.

Called by traffic.envoy.clusters.

A route may send a request to several models in turn: see traffic.envoy.destinations. So what an external API, or a
model that answers for another one, must see belongs to the cluster and not to the route.

Invariant: a service sees its own host, path, name of the model and key, and nothing of the client's key or of that of
another service which was tried before. Held by tests/traffic/test_external.py and tests/traffic/test_fallback.py.
"""

import json
from typing import Final

from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.lua import quoted, script

_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http."


def addressing_filter(*, host: str, path: str, model: str) -> ReadObject:
    """Return the upstream HTTP filter that sets the host, the path instead of `/v1`, and the name of the model."""
    code = script("addressed.lua")
    constants = {"HOST": host, "PATH": path, "MODEL": json.dumps(model)[1:-1]}
    head = "".join(f"local {name} = {quoted(value)}\n" for name, value in constants.items())
    return {
        "name": "envoy.filters.http.lua",
        "typed_config": {"@type": f"{_TYPE}lua.v3.Lua", "default_source_code": {"inline_string": head + code}},
    }
