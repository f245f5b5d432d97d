"""A Kubernetes object, ready to be applied.

Made by render from workloads, or read from foreign documents; read by policy, plan, bundle and the faces.
"""

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from bateau.domain.origin import Origins
from bateau.kit.json_value import ReadObject, object_at

_GENERATED: Final = "*"  # names cannot contain it, so a generated name never equals a given one


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One object. `service` is the key of its service, None for foreign documents.

    Every leaf of `tree` has its chain in `origins`, by path ("spec.template.spec.containers[0].image"). `ordinal`
    counts the objects of a service that share a `generateName`, from 1.
    """

    service: str | None
    target: str
    tree: ReadObject
    origins: Origins
    ordinal: int = 1

    @functools.cached_property
    def group_kind(self) -> tuple[str, str]:
        """Group and kind. The version does not identify an object."""
        group, slash, _ = str(self.tree["apiVersion"]).partition("/")
        return (group if slash else "", str(self.tree["kind"]))

    @functools.cached_property
    def name(self) -> str:
        """The name, or "migrate-*" for an object that Kubernetes names itself; the second one is "migrate-*2"."""
        return f"{name_of(self.tree)}{self.ordinal if self.ordinal > 1 else ''}"

    @property
    def is_generated(self) -> bool:
        """Whether Kubernetes generates the name, so that each creation makes a new object."""
        metadata = object_at(self.tree, "metadata")
        return "generateName" in metadata and not metadata.get("name")

    @functools.cached_property
    def key(self) -> tuple[str, str, str, str]:
        """Group, kind, namespace and name, which identify an object."""
        return (*self.group_kind, str(object_at(self.tree, "metadata").get("namespace", "")), self.name)


def name_of(tree: ReadObject) -> str:
    """Return the display name of an object: "migrate-*" for one with a `generateName`."""
    metadata = object_at(tree, "metadata")
    return str(metadata.get("name") or f"{metadata.get('generateName', '')}{_GENERATED}")


def numbered(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return the manifests of one service with their ordinals."""
    seen: Counter[tuple[str, str, str, str]] = Counter()
    found: list[Manifest] = []
    for each in manifests:
        seen[each.key] += each.is_generated
        found.append(replace(each, ordinal=seen[each.key]) if seen[each.key] > 1 else each)
    return found
