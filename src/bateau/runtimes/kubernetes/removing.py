"""Remove objects that are no longer wanted, and only those that Bateau has created.

Called by runtimes.kubernetes and wiring.installing.

Invariant: objects of others, Namespaces, PersistentVolumeClaims and CRDs are never removed. Held by
tests/runtimes/kubernetes/test_prune.py.
Invariant: an object stays on the list until the API server no longer has it, however long a finalizer holds it. Held by
tests/runtimes/kubernetes/test_faults.py.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import groupby
from typing import Final

from bateau.domain.apply_order import rank
from bateau.domain.errors import ClusterUnreachable, ObjectRefused
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes.api import IN_FLIGHT, ApiServer, Resource
from bateau.runtimes.kubernetes.inventory import Inventory, Listed
from bateau.runtimes.kubernetes.live import OWNER, Key, Live, is_made_here
from bateau.runtimes.kubernetes.wanted import Wanted

# Kinds that hold data: they are removed by hand only.
KEPT_KINDS: Final = frozenset(
    (("", "Namespace"), ("", "PersistentVolumeClaim"), ("", "PersistentVolume"),
     ("apiextensions.k8s.io", "CustomResourceDefinition"))
)  # fmt: skip
_COPIED: Final = "it has Bateau's labels, and someone else has created it"


class Remover:
    """The objects that Bateau has created for one owner.

    Objects in `listed` may be removed; `left` has the reasons of those that stay; `ending` has those that the API
    server deletes, and that still exist.
    """

    def __init__(self, api: ApiServer, *, owner: str, namespace: str, repository: str = "") -> None:
        self._api = api
        self._owner = owner
        self._inventory = Inventory(api, owner=owner, namespace=namespace, repository=repository)
        self._read = False
        self._of_others: set[Key] = set()  # applied, and created by another manager
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self.listed: dict[Key, Listed] = {}
        self.left: dict[Key, str] = {}
        self.ending: set[Key] = set()
        self._differs = False  # the list, since it was saved

    async def read(self) -> None:
        """Read the list of an earlier control plane. Raises ClusterError.

        It may have died after it created an object and before it saved the uid.
        """
        if self._read:
            return
        listed = dict(await self._inventory.read())
        for key, each in listed.items():
            if not each.uid and (tree := await self._get(key, each.version)) is not None and is_made_here(tree):
                listed[key] = replace(each, uid=text_at(tree, "metadata", "uid"))
        self._differs = listed != await self._inventory.read()
        self.listed = listed
        self._read = True

    def announce(self, service: str, objects: Iterable[Wanted]) -> None:
        """List the objects of a service, before they are created; `save` saves the list."""
        for each in objects:
            known = self.listed.get(each.key)
            if known is None and each.key not in self._of_others:
                self._list(each.key, Listed(each.api_version, "", service))
            elif known is not None and known.service != service:
                self._list(each.key, replace(known, service=service))

    def applied(self, each: Wanted, service: str, uid: str, *, made_here: bool) -> None:
        """Note an applied object; `save` saves it. An object that another manager has created is not listed.

        `made_here`: nobody but Bateau has written it. The answer to an earlier apply may have been lost, so that this
        one found it.
        """
        known = self.listed.get(each.key)
        if known is not None and (known.uid == uid or made_here):
            self._list(each.key, Listed(each.api_version, uid, service, each.content))
        else:
            self._list(each.key, None)
            self._of_others.add(each.key)

    def is_made(self, key: Key, content: str = "") -> bool:
        """Whether an object was created before with this content, also if it is gone now."""
        known = self.listed.get(key)
        return known is not None and known.uid != "" and known.content == content

    async def save(self, *, whole: bool = False) -> None:
        """Save the list; with `whole`, also if only the cluster has lost it. Raises ClusterError."""
        if self._differs or whole:
            await self._inventory.save(self.listed, whole=whole)
            self._differs = False

    async def remove(self, keys: Collection[Key]) -> dict[Key, str]:
        """Remove objects in the reverse of the order in which they are applied; return why one could not be removed.

        Raises ClusterDenied, and ClusterError if the list cannot be saved.
        """
        refused: dict[Key, str] = {}

        async def one(key: Key) -> None:
            async with self._slots:
                try:
                    self._note(key, await self._remove(key))
                except (ObjectRefused, ClusterUnreachable) as error:
                    refused[key] = error.message

        try:
            order = sorted(keys, key=_reversed_rank)
            for _, same in groupby(order, key=_reversed_rank):
                ends = await asyncio.gather(*map(one, same), return_exceptions=True)
                for end in ends:
                    if isinstance(end, BaseException):
                        raise end
        finally:
            await self.save()
        return refused

    def note_copies(self, live: Mapping[Key, Live], wanted: AbstractSet[Key]) -> None:
        """Note the objects that have the owner's label and that Bateau has not created."""
        for key in live.keys() - wanted - self.listed.keys() - self.left.keys():
            self.left[key] = _COPIED
        self.left = {key: says for key, says in self.left.items() if key in live or says is not _COPIED}

    def _note(self, key: Key, left: str | None) -> None:
        if key in self.ending:
            return
        self._list(key, None)
        if left:
            self.left[key] = left

    def _list(self, key: Key, listed: Listed | None) -> None:
        """Add or remove a line of the list."""
        if self.listed.get(key) == listed:
            return
        self._differs = True
        if listed is None:
            del self.listed[key]
        else:
            self.listed[key] = listed

    async def _remove(self, key: Key) -> str | None:
        """Remove one object, and return None; or leave it, and return why."""
        listed = self.listed[key]
        self.ending.discard(key)
        if (resource := await self._resource(key, listed.version)) is None:
            return None
        tree = await self._api.get(resource, key[2], key[3])
        if tree is None:
            return None
        if (key[0], key[1]) in KEPT_KINDS:
            return f"a {key[1]} may hold data, and is removed by hand only"
        there = text_at(tree, "metadata", "uid")
        if there != listed.uid:
            return "someone else has recreated it" if listed.uid else "someone else has created it"
        if (owner := text_at(tree, "metadata", "labels", OWNER)) not in ("", self._owner):
            return f"it belongs to {owner} now"
        if not await self._api.delete(resource, key[2], key[3], uid=there):
            self.ending.add(key)
        return None

    async def _get(self, key: Key, version: str) -> JsonObject | None:
        resource = await self._resource(key, version)
        return await self._api.get(resource, key[2], key[3]) if resource else None

    async def _resource(self, key: Key, version: str) -> Resource | None:
        """Return where an object is kept; None if no version of its kind is served, so that no object exists."""
        if (found := await self._api.resource(version, key[1])) is not None:
            return found
        for other in await self._api.versions(key[0]):
            if (found := await self._api.resource(other, key[1])) is not None:
                return found
        return None


def _reversed_rank(key: Key) -> int:
    return -rank(key[0], key[1])
