"""The watches of views: each view has its own, or the views of a controller share one for each kind.

Called by runtimes.kubernetes.looking, runtimes.kubernetes.runtime, runtimes.kubernetes.view, wiring.clusters and
wiring.controller.

Invariant: the number of shared watches does not grow with the number of namespaces. Held by
tests/runtimes/kubernetes/test_watches.py::test_namespaces_share_one_watch_for_each_kind.
Invariant: news about the objects of one view wake no other view. Held by
tests/runtimes/kubernetes/test_watches.py::test_news_of_one_view_wake_no_other.
Invariant: an object that cannot be read is left out, and hides no other from a shared watch. Held by
tests/runtimes/kubernetes/test_watches.py::test_an_object_that_cannot_be_read_hides_no_other.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from bateau.domain.change import object_name
from bateau.kit.json_value import JsonObject
from bateau.kit.kstatus import Health, health
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.live import OWNER, Live, key_of, live
from bateau.runtimes.kubernetes.pods import Pod, pod
from bateau.runtimes.kubernetes.watching import Watched

log = logging.getLogger(__name__)

_PODS: Final = Resource("/api/v1", "pods", namespaced=True)
_REPLICA_SETS: Final = Resource("/apis/apps/v1", "replicasets", namespaced=True)
# Of all pods and ReplicaSets that Bateau renders. Those of manifests that people bring need not have it.
_RENDERED: Final = "app.kubernetes.io/managed-by=bateau"


class _Kept(Protocol):
    @property
    def uid(self) -> str: ...


Kept = TypeVar("Kept", bound=_Kept)
Kept_co = TypeVar("Kept_co", bound=_Kept, covariant=True)
Moved = Callable[[Live | None, Live | None], None]


class Items(Protocol[Kept_co]):
    """Some objects of one kind, by uid."""

    @property
    def items(self) -> Mapping[str, Kept_co]:
        """The summaries of the objects."""
        ...

    @property
    def told(self) -> asyncio.Event:
        """Set once a list has come, or the reason why there is none."""
        ...

    @property
    def unknown(self) -> str | None:
        """Why the items may be out of date."""
        ...

    @property
    def served(self) -> bool:
        """Whether the API server has the kind."""
        ...

    @property
    def forbidden(self) -> bool:
        """Whether the account may not read the kind."""
        ...

    @property
    def version(self) -> int:
        """The resource version up to which all changes are known; 0 while that is not known."""
        ...


class Watches(Protocol):
    """Gives a view the objects that it needs; they are watched from then on, until `end`."""

    def objects(
        self,
        resource: Resource,
        owner: str,
        changed: Callable[[], None],
        moved: Moved,
    ) -> Items[Live]:
        """Return the objects with the label of an owner."""
        ...

    def replica_sets(self, namespace: str, changed: Callable[[], None]) -> Items[Live]:
        """Return the ReplicaSets of a namespace."""
        ...

    def pods(self, namespace: str, changed: Callable[[], None]) -> Items[Pod]:
        """Return the pods of a namespace."""
        ...

    async def end(self, changed: Callable[[], None]) -> None:
        """Call `changed` no more, and end the watches that nobody else needs."""
        ...


class OwnWatches:
    """The watches of one view: a watch for each kind of an owner, and two for each namespace with workloads."""

    def __init__(self, api: ApiServer, *, judge: Callable[[JsonObject], Health] = health) -> None:
        self._api = api
        self._keep = partial(live, judge=judge)
        self._tasks: list[asyncio.Task[None]] = []

    def objects(
        self,
        resource: Resource,
        owner: str,
        changed: Callable[[], None],
        moved: Moved,
    ) -> Items[Live]:
        """Watch the objects with the label of an owner, in all namespaces."""
        selector = f"{OWNER}={owner}"
        return self._begun(
            Watched(self._api, resource, keep=self._keep, changed=changed, moved=moved, selector=selector)
        )

    def replica_sets(self, namespace: str, changed: Callable[[], None]) -> Items[Live]:
        """Watch all ReplicaSets of a namespace: those of third-party workloads have no label of Bateau."""
        return self._begun(Watched(self._api, _REPLICA_SETS, keep=live, changed=changed, namespace=namespace))

    def pods(self, namespace: str, changed: Callable[[], None]) -> Items[Pod]:
        """Watch all pods of a namespace."""
        return self._begun(Watched(self._api, _PODS, keep=pod, changed=changed, namespace=namespace))

    async def end(self, changed: Callable[[], None]) -> None:
        """End every watch."""
        del changed
        await _ended(self._tasks)

    def _begun(self, watched: Watched[Kept]) -> Watched[Kept]:
        self._tasks.append(asyncio.create_task(watched.run(), name="watch"))
        return watched


class SharedWatches:
    """One watch for each kind, whatever the number of views. The pods are those that Bateau has rendered."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._objects: dict[Resource, _Whole[Live]] = {}
        self._sets: _Whole[Live] | None = None
        self._pods: _Whole[Pod] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def objects(
        self,
        resource: Resource,
        owner: str,
        changed: Callable[[], None],
        moved: Moved,
    ) -> Items[Live]:
        """Return the objects with the label of an owner."""
        if resource not in self._objects:
            self._objects[resource] = self._begun(_Whole(self._api, resource, live, OWNER, _owner_of))
        return self._objects[resource].part(owner, changed, moved)

    def replica_sets(self, namespace: str, changed: Callable[[], None]) -> Items[Live]:
        """Return the ReplicaSets of a namespace that Bateau has rendered."""
        if self._sets is None:
            self._sets = self._begun(_Whole(self._api, _REPLICA_SETS, live, _RENDERED, _namespace_of))
        return self._sets.part(namespace, changed)

    def pods(self, namespace: str, changed: Callable[[], None]) -> Items[Pod]:
        """Return the pods of a namespace that Bateau has rendered."""
        if self._pods is None:
            self._pods = self._begun(_Whole(self._api, _PODS, pod, _RENDERED, _pods_namespace))
        return self._pods.part(namespace, changed)

    async def end(self, changed: Callable[[], None]) -> None:
        """Forget one view."""
        for whole in (*self._objects.values(), self._sets, self._pods):
            if whole is not None:
                whole.forget(changed)

    async def close(self) -> None:
        """End every watch."""
        await _ended(self._tasks)

    def _begun(self, whole: "_Whole[Kept]") -> "_Whole[Kept]":
        self._tasks.append(asyncio.create_task(whole.watched.run(), name="watch"))
        return whole


class _Part(Generic[Kept]):
    """The objects of one view in a shared watch."""

    def __init__(
        self,
        whole: Watched[Kept],
        changed: Callable[[], None],
        moved: Callable[[Kept | None, Kept | None], None] | None,
    ) -> None:
        self._whole = whole
        self.changed = changed
        self._moved = moved
        self.items: dict[str, Kept] = {}

    @property
    def told(self) -> asyncio.Event:
        return self._whole.told

    @property
    def unknown(self) -> str | None:
        return self._whole.unknown

    @property
    def served(self) -> bool:
        return self._whole.served

    @property
    def forbidden(self) -> bool:
        return self._whole.forbidden

    @property
    def version(self) -> int:
        return self._whole.version

    def move(self, before: Kept | None, after: Kept | None) -> None:
        """Take over a difference, and hand it on."""
        if before is not None:
            self.items.pop(before.uid, None)
        if after is not None:
            self.items[after.uid] = after
        if self._moved is not None:
            self._moved(before, after)


class _Whole(Generic[Kept]):
    """The watch of one kind, and its parts by name; `name_of` says which part an object is in."""

    def __init__(
        self,
        api: ApiServer,
        resource: Resource,
        keep: Callable[[JsonObject], Kept],
        selector: str,
        name_of: Callable[[Kept], str],
    ) -> None:
        self.watched: Watched[Kept] = Watched(
            api, resource, keep=_contained(keep), changed=self._changed, moved=self._move, selector=selector
        )
        self._name_of = name_of
        self._parts: dict[str, list[_Part[Kept]]] = {}
        self._touched: set[str] = set()
        self._known: tuple[bool, str | None, bool, bool] = (
            False,
            None,
            True,
            False,
        )  # the state of the watch that the parts know

    def part(
        self,
        name: str,
        changed: Callable[[], None],
        moved: Callable[[Kept | None, Kept | None], None] | None = None,
    ) -> _Part[Kept]:
        """Return the part of this name, with the objects that are known already."""
        found = _Part(self.watched, changed, moved)
        self._parts.setdefault(name, []).append(found)
        for each in self.watched.items.values():
            if self._name_of(each) == name:
                found.move(None, each)
        return found

    def forget(self, changed: Callable[[], None]) -> None:
        """Drop the parts of a view."""
        left = {name: [each for each in parts if each.changed != changed] for name, parts in self._parts.items()}
        self._parts = {name: parts for name, parts in left.items() if parts}

    def _move(self, before: Kept | None, after: Kept | None) -> None:
        old, new = (None if each is None else self._name_of(each) for each in (before, after))
        if old == new:
            self._hand(new, before, after)
        else:  # a label has changed
            self._hand(old, before, None)
            self._hand(new, None, after)

    def _hand(self, name: str | None, before: Kept | None, after: Kept | None) -> None:
        if name is not None and name in self._parts:
            self._touched.add(name)
            for part in self._parts[name]:
                part.move(before, after)

    def _changed(self) -> None:
        touched, self._touched = self._touched, set()
        whole = self.watched
        known = (whole.told.is_set(), whole.unknown, whole.served, whole.forbidden)
        every = known != self._known
        self._known = known
        for part in [each for name, parts in self._parts.items() if every or name in touched for each in parts]:
            part.changed()


def _contained(keep: Callable[[JsonObject], Kept]) -> Callable[[JsonObject], Kept | None]:
    """Return `keep`, with None for an object for which it fails."""

    def kept(tree: JsonObject) -> Kept | None:
        try:
            return keep(tree)
        except Exception:
            log.exception("%s cannot be read, and is left out: this is a bug in bateau", object_name(key_of(tree)))
            return None

    return kept


def _owner_of(each: Live) -> str:
    return each.owner


def _namespace_of(each: Live) -> str:
    return each.key[2]


def _pods_namespace(each: Pod) -> str:
    return each.namespace


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tasks.clear()
