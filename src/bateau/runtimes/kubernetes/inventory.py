"""The list of the objects that Bateau has created on a cluster, with their uids. It is kept on the cluster.

Called by runtimes.kubernetes.removing and wiring.controller. It is saved before an object is created, and again with
the uid, so that nothing is forgotten if the control plane dies in between.

Invariant: an object whose uid is not on the list is never removed; one that was about to be made is Bateau's if its
apply holds the label of the owner. Held by tests/runtimes/kubernetes/test_prune.py.
Refused: labels alone. They can be copied to an object made by hand.
"""

import json
from collections.abc import Mapping
from typing import Final

from bateau.domain.errors import ClusterError
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.live import Key

FORMAT: Final = "1"
_LABEL: Final = "bateau.dev/inventory"
# A ConfigMap holds at most 1 MiB; a line takes about 150 bytes.
_PART: Final = 4000
_CONFIG_MAPS: Final = Resource("/api/v1", "configmaps", namespaced=True)


async def inventories(api: ApiServer) -> list[tuple[str, str, str]]:
    """Return owner, namespace and time of creation (RFC 3339) of each inventory of a cluster. Raises ClusterError."""

    def kept(tree: JsonObject) -> tuple[str, str, str]:
        metadata = object_at(tree, "metadata")
        owner = text_at(metadata, "labels", _LABEL)
        return owner, text_at(metadata, "namespace"), text_at(metadata, "creationTimestamp")

    found, _ = await api.list(_CONFIG_MAPS, kept, selector=_LABEL)
    return sorted(set(found))


class Inventory:
    """The objects of one owner: their API version, key and uid, "" while an object is about to be made."""

    def __init__(self, api: ApiServer, *, owner: str, namespace: str) -> None:
        self._api = api
        self._owner = owner
        self._namespace = namespace
        self._saved: dict[Key, tuple[str, str]] | None = None
        self._parts = 0

    async def read(self) -> Mapping[Key, tuple[str, str]]:
        """Return API version and uid of each object, by key. Raises ClusterError, also for a list of a newer format."""
        if self._saved is not None:
            return self._saved
        found: dict[Key, tuple[str, str]] = {}
        part = 0
        while (tree := await self._api.get(_CONFIG_MAPS, self._namespace, self._name(part))) is not None:
            if (told := text_at(tree, "data", "format")) != FORMAT:
                says = f"the inventory {self._namespace}/{self._name(part)} has format {told or 'unknown'}"
                raise ClusterError(says, hint="a newer Bateau wrote it; use that version")
            for line in text_at(tree, "data", "objects").splitlines():
                version, kind, namespace, name, uid = json.loads(line)
                found[version.rpartition("/")[0], kind, namespace, name] = version, uid
            part += 1
        self._saved, self._parts = found, part
        return found

    async def save(self, objects: Mapping[Key, tuple[str, str]]) -> None:
        """Make this the list; writes nothing if it is the same. Raises ClusterError."""
        if await self.read() == objects:
            return
        lines = [
            json.dumps([version, kind, namespace, name, uid])
            for (_, kind, namespace, name), (version, uid) in sorted(objects.items())
        ]
        parts = [lines[at : at + _PART] for at in range(0, len(lines), _PART)]
        # A part that is no longer needed is emptied last, so that a crash in between names an object twice, not never.
        for at, part in enumerate(parts):
            await self._write(at, part)
        for at in range(len(parts), self._parts):
            tree = await self._api.get(_CONFIG_MAPS, self._namespace, self._name(at))
            if tree is not None:
                uid = text_at(tree, "metadata", "uid")
                await self._api.delete(_CONFIG_MAPS, self._namespace, self._name(at), uid=uid)
        self._saved, self._parts = dict(objects), len(parts)

    def _name(self, part: int) -> str:
        return f"bateau-inventory-{self._owner}" + (f"-{part}" if part else "")

    async def _write(self, part: int, lines: list[str]) -> None:
        tree: JsonObject = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self._name(part),
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/managed-by": "bateau", _LABEL: self._owner},
            },
            "data": {"format": FORMAT, "objects": "\n".join(lines)},
        }
        _ = await self._api.apply(_CONFIG_MAPS, object_at(tree), force=True)
