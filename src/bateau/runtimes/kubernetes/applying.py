"""Apply objects that differ from the desired state, and notice when another manager takes their fields.

Called by runtimes.kubernetes.present and runtimes.kubernetes.runtime.

Invariant: an object that is known to be as asked costs no request. Held by
tests/runtimes/kubernetes/test_runtime.py::test_applying_the_same_again_sends_nothing.
Invariant: a field that another manager holds is taken back by force only if it was Bateau's before, and drift is to be
repaired. Held by tests/runtimes/kubernetes/test_drift.py.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

import orjson

from bateau.domain.errors import ClusterDenied, ObjectRefused
from bateau.domain.manifest import Manifest
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.live import (
    OWNER,
    SERVICE,
    Key,
    Live,
    fields_digest,
    held_fields,
    label_of,
    paths,
    takers,
    version_of,
)

# 8 to 16 at once: an API server of two cores gets no faster beyond.
IN_FLIGHT: Final = 12
_NAMESPACES: Final = Resource("/api/v1", "namespaces", namespaced=False)

DriftPolicy = Literal["repair", "report"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an apply: the reason of a refusal, or the uid, and whether the object was created just now."""

    refused: str | None = None
    uid: str = ""
    created: bool = False


@dataclass
class _Applied:
    """An applied object: a digest of its desired state, and the fields that the apply holds since.

    `seen`: the watch has sent this version or a later one. Before that, its objects are older than the apply.
    """

    api_version: str
    asked: str
    uid: str
    version: int
    fields: str | None
    paths: frozenset[str]
    seen: bool = False


class Applier:
    """Applies objects for one owner. `drifted` has the fields that others hold now, each with its manager, by key."""

    def __init__(self, api: ApiServer, *, owner: str, drift: DriftPolicy, force: bool = False) -> None:
        self._api = api
        self._owner = owner
        self._force = force
        self._repairs = drift == "repair"
        self._applied: dict[Key, _Applied] = {}
        self._namespaces: set[str] = set()  # that exist
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self.drifted: dict[Key, tuple[tuple[str, str], ...]] = {}

    async def apply(self, manifest: Manifest, service: str, live: Live | None) -> Outcome:
        """Apply an object unless it is known to be as asked.

        Raises ClusterUnreachable and ClusterDenied.
        """
        key = manifest.key
        tree = self._labelled(manifest, service)
        asked = blake2b(orjson.dumps(tree, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
        known = self._applied.get(key)
        taken = self._repairs and key in self.drifted
        if known and known.asked == asked and not taken and not self._is_lost(known, live):
            return Outcome(uid=known.uid)
        version = text_at(tree, "apiVersion")
        async with self._slots:
            resource = await self._api.resource(version, key[1])
            if resource is None:
                return Outcome(f"the cluster does not serve {version} {key[1]}; is its CRD installed?")
            try:
                made, created = await self._api.apply(resource, tree, force=taken or self._force)
            except ObjectRefused as error:
                return Outcome(error.message)
        self.drifted.pop(key, None)
        known = self._applied[key] = _Applied(
            api_version=version,
            asked=asked,
            uid=text_at(made, "metadata", "uid"),
            version=version_of(made),
            fields=fields_digest(made),
            paths=frozenset(paths(held_fields(made))),
        )
        return Outcome(uid=known.uid, created=created)

    async def make_namespaces(self, names: Iterable[str]) -> None:
        """Make the namespaces that do not exist. Raises ClusterError.

        If the account may not read namespaces, the first refused object reports a missing one.
        """
        for name in names:
            if name in self._namespaces:
                continue
            try:
                if await self._api.get(_NAMESPACES, "", name) is None:
                    labels: JsonObject = {"app.kubernetes.io/managed-by": "bateau"}
                    metadata: JsonObject = {"name": name, "labels": labels}
                    await self._api.apply(_NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            except ClusterDenied:
                pass
            self._namespaces.add(name)

    def is_due(self, key: Key, live: Live | None) -> bool:
        """Whether an applied object has gone, or has lost fields that are to be taken back."""
        known = self._applied.get(key)
        return known is not None and (self._is_lost(known, live) or (self._repairs and key in self.drifted))

    def is_told(self, key: Key, live: Live | None) -> bool:
        """Whether the watch has told what became of the last apply."""
        known = self._applied.get(key)
        return known is not None and live is not None and live.uid == known.uid and live.version >= known.version

    def forget(self, key: Key) -> None:
        """Forget an object that is gone."""
        self._applied.pop(key, None)
        self.drifted.pop(key, None)

    async def note_drift(self, live: Mapping[Key, Live]) -> None:
        """Note the fields that Bateau's apply no longer holds, and who does. Raises ClusterError."""
        for key, known in list(self._applied.items()):
            there = live.get(key)
            if there is None or not self.is_told(key, there):
                continue
            known.seen = True
            if there.fields == known.fields:
                self.drifted.pop(key, None)
            elif key not in self.drifted:
                resource = await self._api.resource(known.api_version, key[1])
                tree = await self._api.get(resource, key[2], key[3]) if resource else None
                if tree is not None:
                    self.drifted[key] = takers(tree, known.paths - frozenset(paths(held_fields(tree))))

    def _is_lost(self, known: _Applied, live: Live | None) -> bool:
        """Whether the watch has told the object after it was applied, and no longer does."""
        return known.seen and (live is None or live.uid != known.uid)

    def _labelled(self, manifest: Manifest, service: str) -> JsonObject:
        """Return an object with the labels by which it is found again, as JSON has it."""
        tree: JsonObject = orjson.loads(orjson.dumps(manifest.tree, option=orjson.OPT_NON_STR_KEYS))
        metadata = object_at(tree, "metadata")
        labels: JsonObject = {**object_at(metadata, "labels"), OWNER: self._owner, SERVICE: label_of(service)}
        return {**tree, "metadata": {**metadata, "labels": labels}}
