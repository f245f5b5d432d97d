"""Apply objects that differ from the desired state, and notice when another manager takes their fields.

Called by runtimes.kubernetes.observing and runtimes.kubernetes.runtime.

Invariant: an object that is known to be as asked costs no request, also after a restart. Held by
tests/runtimes/kubernetes/test_runtime.py::test_applying_the_same_again_sends_nothing and
tests/runtimes/kubernetes/test_unchanged.py.
Invariant: an object that is deleted as soon as it was created is noticed, too. Held by
tests/runtimes/kubernetes/test_connection.py::test_an_object_that_goes_before_the_watch_tells_it_is_created_again.
Invariant: an object that another owner has applied is left to it, unless a person forces it: two control planes would
change it in turn, without end. Held by tests/runtimes/kubernetes/test_owners.py.
Invariant: a field that another manager holds is taken back by force only if it was Bateau's before, and drift is to be
repaired. Held by tests/runtimes/kubernetes/test_drift.py.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from bateau.domain.errors import ClusterDenied, ObjectRefused
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.runtimes.kubernetes.api import IN_FLIGHT, NAMESPACES, ApiServer, Resource
from bateau.runtimes.kubernetes.live import (
    OWNER,
    SERVICE,
    Key,
    Live,
    asked,
    fields_digest,
    held_fields,
    held_paths,
    held_values,
    is_made_here,
    paths,
    takers,
    version_of,
)
from bateau.runtimes.kubernetes.owners import Owners
from bateau.runtimes.kubernetes.wanted import Wanted

_NOT_FOUND: Final = 404

_BELONGS: Final = (
    f"it belongs to {{}} (label {OWNER}), and two environments must not apply one object: give it another name or "
    "namespace, or take it over with --force-conflicts"
)

# Nobody removes these, so that two owners may want the same one.
_SHARED: Final = (("", "Namespace"), ("apiextensions.k8s.io", "CustomResourceDefinition"))

DriftPolicy = Literal["repair", "report"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an apply: the reason of a refusal, or the uid, and whether nobody else has written the object."""

    refused: str | None = None
    uid: str = ""
    made_here: bool = False


@dataclass(slots=True)
class _Applied:
    """An applied object: a digest of its desired state, and the fields that the apply holds since.

    `seen`: the watch has sent this version or a later one. Before that, its objects are older than the apply.
    """

    api_version: str
    asked: bytes
    uid: str
    version: int
    fields: str | None
    paths: frozenset[str]
    made_here: bool
    seen: bool = False


class Applier:
    """Applies objects for one owner.

    `drifted` has the fields that others hold now, each with its manager, by key. `shared` objects belong to another
    owner, and are as wanted.
    """

    def __init__(self, api: ApiServer, *, owner: str, drift: DriftPolicy, force: bool | frozenset[Key] = False) -> None:
        self._api = api
        self._owners = Owners(api, owner=owner)
        self._force = force
        self._repairs = drift == "repair"
        self._applied: dict[Key, _Applied] = {}
        self._awaited: set[Key] = set()  # applied, and not told by the watch yet
        self._namespaces: set[str] = set()  # that exist
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self.drifted: dict[Key, tuple[tuple[str, str], ...]] = {}
        self.shared: set[Key] = set()

    async def apply(self, wanted: Wanted, live: Live | None) -> Outcome:
        """Apply an object unless it is as asked.

        Raises ClusterUnreachable and ClusterDenied.
        """
        key = wanted.key
        known = self._applied.get(key)
        taken = self._repairs and key in self.drifted
        if known and known.asked == wanted.digest and not taken and not self._is_lost(known, live):
            return Outcome(uid=known.uid, made_here=known.made_here)
        if known is None and live is not None and live.held == asked(wanted.body):
            # An earlier control plane has applied it, and nobody has changed it.
            self._applied[key] = _Applied(
                api_version=wanted.api_version,
                asked=wanted.digest,
                uid=live.uid,
                version=live.version,
                fields=live.fields,
                paths=live.paths,
                made_here=live.made_here,
                seen=True,
            )
            return Outcome(uid=live.uid, made_here=live.made_here)
        self.shared.discard(key)
        async with self._slots:
            version, kind = wanted.api_version, key[1]
            resource = await self._api.resource(version, kind)
            if resource is None:
                return Outcome(await self._unserved(wanted))
            force = taken or self._forces(key)
            unseen = live is None and (known is None or known.seen)
            if unseen and not force and (there := await self._owners.others(resource, key)):
                return await self._left(wanted, resource, there)
            try:
                made, created = await self._api.send(resource.path(key[2], key[3]), wanted.body, force=force)
            except ObjectRefused as error:
                self._namespaces.discard(key[2])  # it may have gone
                if (
                    error.code == _NOT_FOUND
                    and await self._api.resource(wanted.api_version, key[1], again=True) is None
                ):
                    return Outcome(await self._unserved(wanted))
                return Outcome(error.message)
        self.drifted.pop(key, None)
        fields = fields_digest(made)
        known = self._applied[key] = _Applied(
            api_version=wanted.api_version,
            asked=wanted.digest,
            uid=text_at(made, "metadata", "uid"),
            version=version_of(made),
            fields=fields,
            paths=held_paths(made, fields),
            made_here=created or is_made_here(made),
        )
        self._awaited.add(key)
        return Outcome(uid=known.uid, made_here=known.made_here)

    async def _left(self, wanted: Wanted, resource: Resource, there: JsonObject) -> Outcome:
        """Return the outcome for an object of another owner, which stays as it is.

        A namespace or a definition that is as wanted serves both: nobody removes it. Raises ClusterError.
        """
        key, labels = wanted.key, object_at(there, "metadata", "labels")
        says = _BELONGS.format(labels[OWNER])
        if key[:2] not in _SHARED:
            return Outcome(says)
        tree: JsonObject = orjson.loads(wanted.body)
        metadata = object_at(tree, "metadata")
        theirs = {name: each for name, each in labels.items() if name in (OWNER, SERVICE)}
        tree["metadata"] = {**metadata, "labels": {**object_at(metadata, "labels"), **theirs}}
        try:
            made, _ = await self._api.send(resource.path(key[2], key[3]), orjson.dumps(tree), dry_run=True)
        except ObjectRefused:
            return Outcome(says)
        if held_values(made) != held_values(there):
            return Outcome(says)
        self.shared.add(key)
        return Outcome(uid=text_at(there, "metadata", "uid"))

    async def _unserved(self, wanted: Wanted) -> str:
        kind = wanted.key[1]
        for other in await self._api.versions(wanted.key[0]):
            if await self._api.resource(other, kind) is not None:
                return f"the cluster serves {kind} as {other}, and not as {wanted.api_version}"
        return f"the cluster does not serve {wanted.api_version} {kind}; is its CRD installed?"

    async def make_namespaces(self, names: Iterable[str]) -> None:
        """Make the namespaces that do not exist. Raises ClusterError.

        If the account may not read or create namespaces, the first refused object reports a missing one.
        """
        for name in names:
            if name in self._namespaces:
                continue
            try:
                there = await self._api.get(NAMESPACES, "", name)
                if there is None:
                    labels: JsonObject = {"app.kubernetes.io/managed-by": "bateau"}
                    metadata: JsonObject = {"name": name, "labels": labels}
                    await self._api.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            except ClusterDenied:
                continue
            if there is None or not text_at(there, "metadata", "deletionTimestamp"):
                self._namespaces.add(name)

    def is_applied(self, key: Key) -> bool:
        """Whether an object was applied."""
        return key in self._applied

    def is_due(self, key: Key, live: Live | None) -> bool:
        """Whether an applied object has gone, or has lost fields that are to be taken back."""
        known = self._applied.get(key)
        return known is not None and (self._is_lost(known, live) or (self._repairs and key in self.drifted))

    def is_told(self, key: Key, live: Live | None) -> bool:
        """Whether the watch has told what became of the last apply."""
        known = self._applied.get(key)
        return known is not None and live is not None and live.uid == known.uid and live.version >= known.version

    def is_awaited(self, key: Key, live: Live | None) -> bool:
        """Whether an object was applied, and the watch has not told it yet."""
        known = self._applied.get(key)
        return known is not None and not known.seen and not self.is_told(key, live)

    def vanished(self, live: Mapping[Key, Live], known_until: Callable[[Key], int]) -> set[Key]:
        """Return the objects that were gone before the watch told them; they are lost from now on."""
        found: set[Key] = set()
        for key in list(self._awaited):
            known, there = self._applied.get(key), live.get(key)
            is_there = known is not None and there is not None and there.uid == known.uid
            if known is not None and not known.seen and not is_there and known_until(key) >= known.version:
                known.seen = True
                found.add(key)
            if known is None or known.seen:
                self._awaited.discard(key)
        return found

    def forget(self, key: Key) -> None:
        """Forget an object that is gone."""
        self._applied.pop(key, None)
        self.drifted.pop(key, None)

    async def note_drift(self, keys: Iterable[Key], live: Mapping[Key, Live]) -> None:
        """Note the fields of these objects that Bateau's apply no longer holds, and who does. Raises ClusterError."""
        for key in keys:
            known, there = self._applied.get(key), live.get(key)
            if known is None or there is None or not self.is_told(key, there):
                continue
            known.seen = True
            if there.fields == known.fields:
                self.drifted.pop(key, None)
            elif key not in self.drifted:
                resource = await self._api.resource(known.api_version, key[1])
                tree = await self._api.get(resource, key[2], key[3]) if resource else None
                if tree is None:
                    continue
                if taken := takers(tree, known.paths - frozenset(paths(held_fields(tree)))):
                    self.drifted[key] = taken
                else:  # an autoscaler holds them, for good
                    known.fields = there.fields

    def _forces(self, key: Key) -> bool:
        return self._force if isinstance(self._force, bool) else key in self._force

    def _is_lost(self, known: _Applied, live: Live | None) -> bool:
        """Whether the watch has told the object after it was applied, and no longer does."""
        return known.seen and (live is None or live.uid != known.uid)
