"""Read the current state of the wanted objects, and of those that Bateau created before, for a plan.

Called by wiring.clusters and wiring.installing. Needs read rights only.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bateau.domain.errors import ClusterDenied
from bateau.domain.manifest import Manifest
from bateau.kit.json_value import JsonObject, ReadObject, object_at, text_at
from bateau.runtimes.kubernetes.additions import without_additions
from bateau.runtimes.kubernetes.api import IN_FLIGHT, NAMESPACES, ApiServer
from bateau.runtimes.kubernetes.live import OWNER, SERVICE, Key, other_holders
from bateau.runtimes.kubernetes.removing import KEPT_KINDS, Remover
from bateau.runtimes.kubernetes.wanted import content_of

# Kinds of the API server itself are rendered where they belong.
_BUILT_IN: Final = frozenset(("", "apps", "batch", "autoscaling", "policy"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The existing objects, without the labels that Bateau adds to find them again.

    `holders` has the other managers of a wanted object by the paths of their fields; `created` are those that Bateau
    made. `added` are fields that kubectl has added to them, which stay. Their keys are those of the specs.
    `new_namespaces` do not exist, and an apply creates them. `unserved` are the wanted kinds, with their API versions,
    that the API server does not serve.
    """

    objects: list[JsonObject | ReadObject]
    holders: Mapping[Key, Mapping[str, str]]
    created: frozenset[Key]
    added: Mapping[Key, Mapping[str, str]]
    new_namespaces: tuple[str, ...]
    unserved: tuple[tuple[str, str], ...]


async def present(
    api: ApiServer, wanted: Iterable[Manifest], *, owner: str, namespace: str, repository: str = ""
) -> Present:
    """Return the existing objects.

    An object that is no longer wanted is among them if it may be removed. The wanted objects have names, as `named`
    gives them; one that was created for its content and has ended is returned as it is wanted. Raises ClusterError.
    """
    wanted = tuple(wanted)
    made = Remover(api, owner=owner, namespace=namespace, repository=repository)
    await made.read()
    slots = asyncio.Semaphore(IN_FLIGHT)
    seen: set[Key] = set()
    holders: dict[Key, Mapping[str, str]] = {}
    created: set[Key] = set()
    added: dict[Key, Mapping[str, str]] = {}
    unserved: set[tuple[str, str]] = set()

    async def one(manifest: Manifest) -> JsonObject | ReadObject | None:
        key, version = manifest.key, str(manifest.tree["apiVersion"])
        async with slots:
            resource = await api.resource(version, key[1])
            if resource is None:
                unserved.add((version, key[1]))
                return None
            if resource.namespaced != bool(key[2]) and key[0] not in _BUILT_IN:
                key = (key[0], key[1], namespace if resource.namespaced else "", key[3])
            seen.add(key)
            tree = await api.get(resource, key[2], key[3])
        if tree is None:
            return manifest.tree if _has_ended(manifest, made, key) else None
        if others := other_holders(tree):
            holders[manifest.key] = others
        if key in made.listed and made.listed[key].uid == text_at(tree, "metadata", "uid"):
            created.add(manifest.key)
        live = without_additions(tree, manifest.tree)
        if by_hand := {path: manager for path, manager in live.added.items() if manager.startswith("kubectl")}:
            added[manifest.key] = by_hand
        return _plain(live.tree, manifest.key[2])

    async def other(key: Key, version: str) -> JsonObject | None:
        async with slots:
            resource = await api.resource(version, key[1])
            tree = await api.get(resource, key[2], key[3]) if resource else None
        return tree and _plain(tree, key[2])

    found = [*await asyncio.gather(*map(one, wanted))]
    former = {key: each.version for key, each in made.listed.items() if each.uid and key[:2] not in KEPT_KINDS}
    found += await asyncio.gather(*(other(key, version) for key, version in former.items() if key not in seen))
    objects = [tree for tree in found if tree is not None]
    new = await new_namespaces(api, {namespace, *(key[2] for key in seen)} if seen else (), wanted)
    return Present(
        objects=objects,
        holders=holders,
        created=frozenset(created),
        added=added,
        new_namespaces=new,
        unserved=tuple(sorted(unserved)),
    )


async def new_namespaces(api: ApiServer, names: Iterable[str], wanted: Iterable[Manifest]) -> tuple[str, ...]:
    """Return the namespaces that do not exist and are not among the wanted objects. Raises ClusterError.

    One that the account may not read is not among them.
    """
    declared = {each.key[3] for each in wanted if each.group_kind == ("", "Namespace")}
    new: list[str] = []
    for name in sorted(set(names) - declared - {""}):
        with contextlib.suppress(ClusterDenied):
            if await api.get(NAMESPACES, "", name) is None:
                new.append(name)
    return tuple(new)


def _has_ended(manifest: Manifest, made: Remover, key: Key) -> bool:
    """Whether an object was created for its content, and is gone: it is not created again."""
    content = content_of(manifest)
    return (content != "" or bool(text_at(manifest.tree, "metadata", "generateName"))) and made.is_made(key, content)


def _plain(tree: JsonObject, namespace: str) -> JsonObject:
    """Return an object in the namespace in which the specs have it, without Bateau's labels."""
    metadata = {key: each for key, each in object_at(tree, "metadata").items() if key != "namespace"}
    labels: JsonObject = {
        key: each for key, each in object_at(metadata, "labels").items() if key not in (OWNER, SERVICE)
    }
    within: JsonObject = {"namespace": namespace} if namespace else {}
    return {**tree, "metadata": {**metadata, **within, "labels": labels}}
