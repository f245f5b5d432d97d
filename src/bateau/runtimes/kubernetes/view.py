"""The known state of an owner's objects: one watch for each kind, and the pods of their workloads.

Called by runtimes.kubernetes.looking, runtimes.kubernetes.observing and runtimes.kubernetes.runtime.

Invariant: while a watch is broken, its last state stays, and `unknown` says that it may be old. Held by
tests/runtimes/kubernetes/test_watching.py.
Invariant: a kind that the account may not read concerns the services with such objects only. Held by
tests/runtimes/kubernetes/test_faults.py.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

from bateau.domain.errors import ClusterUnreachable
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.live import Key, Live
from bateau.runtimes.kubernetes.pods import Pod
from bateau.runtimes.kubernetes.requests import REQUEST_S
from bateau.runtimes.kubernetes.watches import Items, Watches


class View:
    """The objects of one owner on one cluster; `changed` is called whenever one of its watches told something new.

    `live` has the objects with the owner's label, by key; `news` has the keys of those that differ since it was last
    cleared.
    """

    def __init__(self, api: ApiServer, *, owner: str, changed: Callable[[], None], watches: Watches) -> None:
        self._api = api
        self._watches = watches
        self._owner = owner
        self._changed = changed
        self._objects: dict[Resource, Items[Live]] = {}
        self._kinds: dict[tuple[str, str], Items[Live]] = {}  # the same, by group and kind
        self._sets: dict[str, Items[Live]] = {}  # by namespace
        self._pods: dict[str, Items[Pod]] = {}
        self._services: dict[str, str] = {}  # of pods, by uid; a pod may outlive its workload
        self.live: dict[Key, Live] = {}
        self.news: set[Key] = set()

    async def watch(self, kinds: Iterable[tuple[str, str]], namespaces: Iterable[str]) -> None:
        """Watch these kinds, given by API version and kind, and the pods of these namespaces.

        Returns when each kind has been listed, or has failed. A kind that the cluster does not serve is left out.
        Raises ClusterError.
        """
        for version, kind in kinds:
            resource = await self._api.resource(version, kind)
            if resource is not None and resource not in self._objects:
                watched = self._watches.objects(resource, self._owner, self._changed, self._moved)
                self._objects[resource] = self._kinds[version.rpartition("/")[0], kind] = watched
        # Objects are found by the label of their owner; the pods of third-party workloads have no such label.
        for namespace in namespaces:
            if namespace not in self._pods:
                self._sets[namespace] = self._watches.replica_sets(namespace, self._changed)
                self._pods[namespace] = self._watches.pods(namespace, self._changed)
        try:
            async with asyncio.timeout(REQUEST_S):
                for each in (*self._objects.values(), *self._sets.values(), *self._pods.values()):
                    await each.told.wait()
        except TimeoutError as error:
            raise ClusterUnreachable(f"{self._api.name} has not listed its objects in {REQUEST_S:.0f} s") from error

    @property
    def unknown(self) -> str | None:
        """The reason why the known state may be old; None if every watch runs.

        A kind that the cluster no longer serves has no objects that could be unknown. A kind that the account may not
        read concerns its own objects only; see `forbidden`.
        """
        objects = (each for each in self._objects.values() if each.served and not each.forbidden)
        every = (*objects, *self._sets.values(), *self._pods.values())
        return next((each.unknown for each in every if each.unknown), None)

    @property
    def forbidden(self) -> Mapping[tuple[str, str], str]:
        """The kinds that the account may not read, by group and kind, with the reason."""
        return {kind: each.unknown for kind, each in self._kinds.items() if each.forbidden and each.unknown}

    def is_watched(self, key: Key) -> bool:
        """Whether the kind of an object is watched."""
        return key[:2] in self._kinds

    def known_until(self, key: Key) -> int:
        """Return the resource version up to which the objects of a kind are known."""
        watched = self._kinds.get(key[:2])
        return watched.version if watched else 0

    def pods(self) -> Iterator[tuple[str, Pod, bool]]:
        """Yield the pods of workloads: the service, the pod, and whether it is of the newest template."""
        if not any(watched.items for watched in self._pods.values()):
            return
        owners = {each.uid: each.service for each in self.live.values() if each.service}
        newest: dict[str, int] = {}
        sets = {uid: each for watched in self._sets.values() for uid, each in watched.items.items()}
        for each in sets.values():
            newest[each.parent] = max(newest.get(each.parent, 0), each.rollout)
        before, self._services = self._services, {}
        for watched in self._pods.values():
            for uid, each in watched.items.items():
                through = sets.get(each.parent)
                workload = through.parent if through else each.parent
                # A bare pod is its own workload.
                if service := owners.get(workload) or owners.get(uid) or before.get(uid):
                    self._services[uid] = service
                    yield service, each, through is None or through.rollout == newest[workload]

    async def close(self) -> None:
        """End every watch."""
        await self._watches.end(self._changed)

    def _moved(self, before: Live | None, after: Live | None) -> None:
        if before is not None:
            self.news.add(before.key)
            if (there := self.live.get(before.key)) is not None and there.uid == before.uid:
                del self.live[before.key]
        if after is not None:
            self.news.add(after.key)
            self.live[after.key] = after
