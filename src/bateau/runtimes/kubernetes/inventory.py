"""The list of the objects that Bateau has created on a cluster, with their uids. It is kept on the cluster.

Called by runtimes.kubernetes.looking, runtimes.kubernetes.removing, wiring.installing and wiring.left_over. It is saved
before an object is created, and again with the uid, so that nothing is forgotten if the control plane dies in between.
It consists of ConfigMaps, because one holds at most 1 MiB; an object's line is in the part that the hash of its key
chooses, so that a new object changes one part.

Invariant: an object whose uid is not on the list is never removed; one that was about to be made is Bateau's if its
apply holds the label of the owner. Held by tests/runtimes/kubernetes/test_prune.py.
Invariant: two control planes that save at once both keep their lines. Held by
tests/runtimes/kubernetes/test_inventory.py.
Refused: labels alone. They can be copied to an object made by hand.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from bateau.domain.errors import ClusterError, ObjectRefused
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.live import Key

FORMAT: Final = "2"
_FORMATS: Final = ("1", FORMAT)  # lines of format 1 have no service
_LABEL: Final = "bateau.dev/inventory"
REPOSITORY: Final = "bateau.dev/repository"
# A line takes about 200 bytes, and at most 600.
_PART: Final = 1500
_CONFIG_MAPS: Final = Resource("/api/v1", "configmaps", namespaced=True)
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Listed:
    """An object on the list: its API version, its service, and its uid, "" while it is about to be created.

    `content` is that of an object that was created once for it; see `Wanted`.
    """

    version: str
    uid: str
    service: str
    content: str = ""


async def inventories(api: ApiServer) -> list[tuple[str, str, str]]:
    """Return owner, namespace and time of creation (RFC 3339) of each inventory that lists any object.

    Raises ClusterError.
    """

    def kept(tree: JsonObject) -> tuple[str, str, str] | None:
        metadata = object_at(tree, "metadata")
        if not text_at(tree, "data", "objects"):
            return None
        owner = text_at(metadata, "labels", _LABEL)
        return owner, text_at(metadata, "namespace"), text_at(metadata, "creationTimestamp")

    listed, _ = await api.list(_CONFIG_MAPS, kept, selector=_LABEL)
    found = [each for each in listed if each is not None]
    # The first part is the oldest.
    first = {(owner, namespace): created for owner, namespace, created in sorted(found, reverse=True)}
    return sorted((owner, namespace, created) for (owner, namespace), created in first.items())


class Inventory:
    """The objects of one owner, by key. `repository` names the repository of the specs, "" if it is not known."""

    def __init__(self, api: ApiServer, *, owner: str, namespace: str, repository: str = "") -> None:
        self._api = api
        self._owner = owner
        self._namespace = namespace
        self._repository = repository
        self._saved: dict[Key, Listed] | None = None
        self._parts: list[dict[Key, Listed]] = []
        self._versions: list[str] = []  # of the ConfigMap of each part

    async def read(self) -> Mapping[Key, Listed]:
        """Return the list. Raises ClusterError, also for a list of a newer format or of another repository."""
        if self._saved is None:
            await self._load()
            self._saved = {key: each for part in self._parts for key, each in part.items()}
        return self._saved

    async def save(self, objects: Mapping[Key, Listed], *, whole: bool = False) -> None:
        """Make this the list; writes nothing if it is the same. Raises ClusterError.

        Lines that another control plane has added since the last `read` or `save` stay. With `whole`, the ConfigMaps
        may have been deleted, and are checked.
        """
        before = await self.read()
        if whole:
            await self._load()
        elif before == objects:
            return
        for attempt in range(_TRIES):
            try:
                await self._write(before, objects, whole=whole)
            except ObjectRefused as error:
                if error.reason not in ("Conflict", "AlreadyExists") or attempt == _TRIES - 1:
                    raise
                known = len(self._parts)
                await self._load()
                whole = whole or len(self._parts) < known  # they were deleted
            else:
                self._saved = dict(objects)
                return

    async def _load(self) -> None:
        parts: list[dict[Key, Listed]] = []
        versions: list[str] = []
        while (tree := await self._api.get(_CONFIG_MAPS, self._namespace, self._name(len(parts)))) is not None:
            told, name = text_at(tree, "data", "format"), f"{self._namespace}/{self._name(len(parts))}"
            if told not in _FORMATS:
                says = f"the inventory {name} has format {told or 'unknown'}"
                raise ClusterError(says, hint="a newer Bateau wrote it; use that version")
            self._note_repository(tree)
            parts.append(dict(map(_listed, text_at(tree, "data", "objects").splitlines())))
            versions.append(text_at(tree, "metadata", "resourceVersion"))
        self._parts, self._versions = parts, versions

    def _note_repository(self, tree: JsonObject) -> None:
        """Refuse the list of another repository, which would see this one's objects as deleted from its specs."""
        told = text_at(tree, "metadata", "annotations", REPOSITORY)
        if told and self._repository and told != self._repository:
            name = f"{self._namespace}/{text_at(tree, 'metadata', 'name')}"
            raise ClusterError(
                f"the inventory {name} belongs to the repository {told}, and these specs are from {self._repository}",
                hint="give the environment another name or namespace; if the repository has moved: kubectl annotate "
                f"--namespace {self._namespace} configmap {text_at(tree, 'metadata', 'name')} {REPOSITORY}-",
            )
        self._repository = self._repository or told

    async def _write(self, before: Mapping[Key, Listed], objects: Mapping[Key, Listed], *, whole: bool) -> None:
        """Write the parts that differ: what the list has now, with the difference of `before` and `objects`."""
        there = {key: each for part in self._parts for key, each in part.items()}
        gone = before.keys() - objects.keys()
        told = {key: each for key, each in there.items() if key not in gone}
        told |= {key: each for key, each in objects.items() if whole or before.get(key) != each}
        count = 1
        while count * _PART < len(told):
            count *= 2
        parts: list[dict[Key, Listed]] = [{} for _ in range(count)]
        for key in sorted(told):
            parts[_hash(key) % count][key] = told[key]
        # The last part first: if their number grows, a crash in between leaves a line twice, and loses none.
        for at in reversed(range(count)):
            if at >= len(self._parts) or self._parts[at] != parts[at]:
                await self._write_part(at, parts[at])
        for at in reversed(range(count, len(self._parts))):
            tree = await self._api.get(_CONFIG_MAPS, self._namespace, self._name(at))
            if tree is not None:
                uid = text_at(tree, "metadata", "uid")
                await self._api.delete(_CONFIG_MAPS, self._namespace, self._name(at), uid=uid)
        self._parts, self._versions = parts, self._versions[:count]

    async def _write_part(self, at: int, lines: Mapping[Key, Listed]) -> None:
        there = at < len(self._versions) and self._versions[at] != ""
        tree: JsonObject = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self._name(at),
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/managed-by": "bateau", _LABEL: self._owner},
                **({"annotations": {REPOSITORY: self._repository}} if self._repository else {}),
                **({"resourceVersion": self._versions[at]} if there else {}),
            },
            "data": {"format": FORMAT, "objects": "\n".join(_line(key, each) for key, each in lines.items())},
        }
        if there:
            made, _ = await self._api.apply(_CONFIG_MAPS, tree, force=True)
        else:
            made = await self._api.create(_CONFIG_MAPS, tree)
        self._versions += [""] * (at + 1 - len(self._versions))
        self._versions[at] = text_at(made, "metadata", "resourceVersion")

    def _name(self, part: int) -> str:
        return f"bateau-inventory-{self._owner}" + (f"-{part}" if part else "")


def _hash(key: Key) -> int:
    return crc32("/".join(key).encode())


def _line(key: Key, listed: Listed) -> str:
    _, kind, namespace, name = key
    content = [listed.content] if listed.content else []
    return json.dumps([listed.version, kind, namespace, name, listed.uid, listed.service, *content])


def _listed(line: str) -> tuple[Key, Listed]:
    version, kind, namespace, name, uid, *more = json.loads(line)
    service, content, *_ = *more, "", ""
    group = version.rpartition("/")[0]
    return (group, kind, namespace, name), Listed(version, uid, service, content)
