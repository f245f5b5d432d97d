"""Remove objects that are no longer wanted, and only those that Bateau has created.

Called by runtimes.kubernetes.looking, runtimes.kubernetes.present and runtimes.kubernetes.runtime.

Invariant: objects of others, Namespaces, PersistentVolumeClaims and CRDs are never removed. Held by
tests/runtimes/kubernetes/test_prune.py.
"""

from collections.abc import Collection, Mapping
from typing import Final

from bateau.domain.apply_order import rank
from bateau.domain.errors import ClusterUnreachable, ObjectRefused
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes.api import ApiServer
from bateau.runtimes.kubernetes.inventory import Inventory
from bateau.runtimes.kubernetes.live import OWNER, Key, Live, is_made_here

# Kinds that hold data: they are removed by hand only.
KEPT_KINDS: Final = frozenset(
    (("", "Namespace"), ("", "PersistentVolumeClaim"), ("", "PersistentVolume"),
     ("apiextensions.k8s.io", "CustomResourceDefinition"))
)  # fmt: skip
_COPIED: Final = "it has Bateau's labels, and someone else has created it"


class Remover:
    """The objects that Bateau has created for one owner.

    Objects in `listed` may be removed; `left` has the reasons of those that stay.
    """

    def __init__(self, api: ApiServer, *, owner: str, namespace: str) -> None:
        self._api = api
        self._owner = owner
        self._inventory = Inventory(api, owner=owner, namespace=namespace)
        self._read = False
        self.listed: dict[Key, tuple[str, str]] = {}
        self.left: dict[Key, str] = {}
        self._of_others: set[Key] = set()  # applied, and created by another manager

    async def read(self) -> None:
        """Read the list of an earlier control plane. Raises ClusterError.

        It may have died after it created an object and before it saved the uid.
        """
        if self._read:
            return
        listed = dict(await self._inventory.read())
        for key, (version, uid) in listed.items():
            if not uid and (tree := await self._get(key, version)) is not None and is_made_here(tree):
                listed[key] = version, text_at(tree, "metadata", "uid")
        self.listed = listed
        self._read = True

    async def announce(self, objects: Mapping[Key, str]) -> None:
        """Save objects, with their API versions by key, before they are created. Raises ClusterError."""
        for key, version in objects.items():
            if key not in self._of_others:
                self.listed.setdefault(key, (version, ""))
        await self.save()

    def applied(self, key: Key, version: str, uid: str, *, created: bool) -> None:
        """Note an applied object; `save` saves it. An object that another manager has created is not listed."""
        if created or self.listed.get(key, ("", ""))[1] == uid:
            self.listed[key] = version, uid
            self._of_others.discard(key)
        else:
            self.listed.pop(key, None)
            self._of_others.add(key)

    async def save(self) -> None:
        """Save the list. Raises ClusterError."""
        await self._inventory.save(self.listed)

    async def remove(self, keys: Collection[Key]) -> dict[Key, str]:
        """Remove objects in the reverse of the order in which they are applied; return why one could not be removed.

        Raises ClusterDenied, and ClusterError if the list cannot be saved.
        """
        refused: dict[Key, str] = {}
        try:
            for key in sorted(keys, key=lambda each: (-rank(each[0], each[1]), each)):
                try:
                    self._note(key, await self._remove(key))
                except (ObjectRefused, ClusterUnreachable) as error:
                    refused[key] = error.message
        finally:
            await self.save()
        return refused

    def note_copies(self, live: Mapping[Key, Live], wanted: Collection[Key]) -> None:
        """Note the objects that have the owner's label and that Bateau has not created."""
        for key in live:
            if key not in wanted and key not in self.listed and key not in self.left:
                self.left[key] = _COPIED
        self.left = {key: says for key, says in self.left.items() if key in live or says is not _COPIED}

    def _note(self, key: Key, left: str | None) -> None:
        del self.listed[key]
        if left:
            self.left[key] = left

    async def _remove(self, key: Key) -> str | None:
        """Remove one object, and return None; or leave it, and return why."""
        version, uid = self.listed[key]
        tree = await self._get(key, version)
        if tree is None:
            return None
        if (key[0], key[1]) in KEPT_KINDS:
            return f"a {key[1]} may hold data, and is removed by hand only"
        there = text_at(tree, "metadata", "uid")
        if there != uid:
            return "someone else has recreated it"
        if (owner := text_at(tree, "metadata", "labels", OWNER)) not in ("", self._owner):
            return f"it belongs to {owner} now"
        if (resource := await self._api.resource(version, key[1])) is not None:
            await self._api.delete(resource, key[2], key[3], uid=there)
        return None

    async def _get(self, key: Key, version: str) -> JsonObject | None:
        resource = await self._api.resource(version, key[1])
        return await self._api.get(resource, key[2], key[3]) if resource else None
