"""The known state of an owner's objects: one watch for each kind, and the pods of their workloads.

Called by runtimes.kubernetes.looking and runtimes.kubernetes.runtime.

Invariant: while a watch is broken, its last state stays, and `unknown` says that it may be old. Held by
tests/runtimes/kubernetes/test_watching.py.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.live import OWNER, Key, Live, live
from bateau.runtimes.kubernetes.pods import Pod, pod
from bateau.runtimes.kubernetes.watching import Watched

_PODS = Resource("/api/v1", "pods", namespaced=True)
_REPLICA_SETS = Resource("/apis/apps/v1", "replicasets", namespaced=True)


class View:
    """The watches of one owner on one cluster; `changed` is called whenever one of them told something new."""

    def __init__(self, api: ApiServer, *, owner: str, changed: Callable[[], None]) -> None:
        self._api = api
        self._owner = owner
        self._changed = changed
        self._objects: dict[Resource, Watched[Live]] = {}
        self._sets: dict[str, Watched[Live]] = {}  # by namespace
        self._pods: dict[str, Watched[Pod]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def watch(self, objects: Mapping[Key, str]) -> None:
        """Watch the kinds of these objects, given by their API versions, and the pods of their namespaces.

        Returns when each kind has been listed, or has failed. A kind that the cluster does not serve is left out.
        Raises ClusterError.
        """
        made: list[Watched[Live] | Watched[Pod]] = []
        for version, kind in dict.fromkeys((version, key[1]) for key, version in objects.items()):
            resource = await self._api.resource(version, kind)
            if resource is not None and resource not in self._objects:
                selector = f"{OWNER}={self._owner}"
                watched = Watched(self._api, resource, keep=live, changed=self._changed, selector=selector)
                self._objects[resource] = watched
                made.append(watched)
        # Objects are found by the label of their owner; the pods of third-party workloads have no such label.
        for namespace in {key[2] for key in objects} - {""}:
            if namespace not in self._pods:
                sets = Watched(self._api, _REPLICA_SETS, keep=live, changed=self._changed, namespace=namespace)
                pods = Watched(self._api, _PODS, keep=pod, changed=self._changed, namespace=namespace)
                self._sets[namespace], self._pods[namespace] = sets, pods
                made += [sets, pods]
        for each in made:
            self._tasks.append(asyncio.create_task(each.run(), name="watch"))
        for each in made:
            await each.told.wait()

    @property
    def unknown(self) -> str | None:
        """The reason why the known state may be old; None if every watch runs."""
        every = (*self._objects.values(), *self._sets.values(), *self._pods.values())
        return next((each.unknown for each in every if each.unknown), None)

    def objects(self) -> dict[Key, Live]:
        """Return the objects that have the owner's label, by key."""
        return {each.key: each for watched in self._objects.values() for each in watched.items.values()}

    def pods_of(self, owners: Mapping[str, str]) -> Iterator[tuple[str, Pod, bool]]:
        """Yield the pods of workloads: the service, the pod, and whether it is of the newest template.

        `owners` has the service of each workload, by uid.
        """
        newest: dict[str, int] = {}
        sets = {uid: each for watched in self._sets.values() for uid, each in watched.items.items()}
        for each in sets.values():
            newest[each.parent] = max(newest.get(each.parent, 0), each.rollout)
        for watched in self._pods.values():
            for each in watched.items.values():
                through = sets.get(each.parent)
                workload = through.parent if through else each.parent
                if service := owners.get(workload):
                    yield service, each, through is None or through.rollout == newest[workload]

    async def close(self) -> None:
        """End every watch."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
