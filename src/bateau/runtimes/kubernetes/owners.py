"""Find the objects that belong to another owner, before an apply would take them over.

Called by runtimes.kubernetes.applying.

Invariant: many new objects cost one list for each kind and namespace, and not a request each. Held by
tests/runtimes/kubernetes/test_bounds.py.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.live import OWNER, Key

_FRESH_S: Final = 1.0  # how long a list is used


@dataclass(slots=True)
class _Listing:
    """The names of the objects of one kind in one namespace that belong to others, and until when they are used."""

    names: frozenset[str] = frozenset()
    fresh_until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Owners:
    """The objects of other owners than `owner`, as far as they are asked for."""

    def __init__(self, api: ApiServer, *, owner: str) -> None:
        self._api = api
        self._owner = owner
        self._listings: dict[tuple[Resource, str], _Listing] = {}

    async def others(self, resource: Resource, key: Key) -> JsonObject | None:
        """Return the object at `key` if it belongs to another owner, else None. Raises ClusterError."""
        _, _, namespace, name = key
        # Objects without a namespace are few, and their lists are long.
        if namespace and name not in await self._names(resource, namespace):
            return None
        there = await self._api.get(resource, namespace, name)
        return object_at(there) if text_at(there, "metadata", "labels", OWNER) not in ("", self._owner) else None

    async def _names(self, resource: Resource, namespace: str) -> frozenset[str]:
        listing = self._listings.setdefault((resource, namespace), _Listing())
        loop = asyncio.get_running_loop()
        async with listing.lock:
            if loop.time() >= listing.fresh_until:
                selector = f"{OWNER},{OWNER}!={self._owner}"
                found, _ = await self._api.list(resource, _name_of, namespace=namespace, selector=selector)
                listing.names, listing.fresh_until = frozenset(found), loop.time() + _FRESH_S
        return listing.names


def _name_of(tree: JsonObject) -> str:
    return text_at(tree, "metadata", "name")
