"""Wait until the API server serves the kinds of definitions that were applied just before.

Called by runtimes.kubernetes.runtime.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import orjson

from bateau.kit.json_value import text_at
from bateau.runtimes.kubernetes.api import ApiServer
from bateau.runtimes.kubernetes.wanted import Wanted

# A definition is served within a fraction of a second; one with errors never is, and its objects report that.
_LOOKS: Final = 50
_LOOK_S: Final = 0.1
_DEFINITION: Final = ("apiextensions.k8s.io", "CustomResourceDefinition")


async def established(api: ApiServer, objects: Iterable[Wanted]) -> None:
    """Return when the kinds of all objects whose definitions are among them are served. Raises ClusterError."""
    every = list(objects)
    definitions = [orjson.loads(each.body) for each in every if each.key[:2] == _DEFINITION]
    defined = {(text_at(each, "spec", "group"), text_at(each, "spec", "names", "kind")) for each in definitions}
    for version, kind in {(each.api_version, each.key[1]) for each in every if each.key[:2] in defined}:
        for _ in range(_LOOKS):
            if await api.resource(version, kind) is not None:
                break
            await asyncio.sleep(_LOOK_S)
