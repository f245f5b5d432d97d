"""Read the current state of the wanted objects, and of those that Bateau created before, for a plan.

Called by wiring.clusters. Needs read rights only.
"""

import asyncio
from collections.abc import Iterable

from bateau.domain.manifest import Manifest
from bateau.kit.json_value import JsonObject, object_at
from bateau.runtimes.kubernetes.api import IN_FLIGHT, ApiServer
from bateau.runtimes.kubernetes.live import OWNER, SERVICE, Key
from bateau.runtimes.kubernetes.removing import KEPT_KINDS, Remover


async def present(api: ApiServer, wanted: Iterable[Manifest], *, owner: str, namespace: str) -> list[JsonObject]:
    """Return the existing objects, without the labels that Bateau adds to find them again. Raises ClusterError.

    An object that is no longer wanted is among them if it may be removed.
    """
    versions: dict[Key, str] = {each.key: str(each.tree["apiVersion"]) for each in wanted}
    made = Remover(api, owner=owner, namespace=namespace)
    await made.read()
    versions |= {
        key: each.version
        for key, each in made.listed.items()
        if key not in versions and each.uid and key[:2] not in KEPT_KINDS
    }
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def read(key: Key, version: str) -> JsonObject | None:
        async with slots:
            resource = await api.resource(version, key[1])
            return await api.get(resource, key[2], key[3]) if resource else None

    found = await asyncio.gather(*(read(key, version) for key, version in versions.items()))
    return [_plain(tree) for tree in found if tree is not None]


def _plain(tree: JsonObject) -> JsonObject:
    metadata = object_at(tree, "metadata")
    labels: JsonObject = {
        key: each for key, each in object_at(metadata, "labels").items() if key not in (OWNER, SERVICE)
    }
    return {**tree, "metadata": {**metadata, "labels": labels}}
