"""A Kubernetes object as it would be applied.

Made by render from services, or taken over from foreign documents; read by policy, plan, bundle and the faces.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from bateau.domain.origin import Origins

_GENERATED: Final = "*"  # no name has it, so that a generated one is never equal to a written one


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One object. `service` is the key of the service that it was made for, None for foreign documents.

    Every leaf of `tree` has its chain in `origins`, by path ("spec.template.spec.containers[0].image"). `ordinal` tells
    objects of a service apart that have one `generateName`; it counts from 1.
    """

    service: str | None
    target: str
    tree: Mapping[str, Any]
    origins: Origins
    ordinal: int = 1

    @functools.cached_property
    def group_kind(self) -> tuple[str, str]:
        """Group and kind; the version does not tell objects apart."""
        group, slash, _ = str(self.tree["apiVersion"]).partition("/")
        return (group if slash else "", str(self.tree["kind"]))

    @functools.cached_property
    def name(self) -> str:
        """The name, or "migrate-*" for an object that Kubernetes names itself; the second one is "migrate-*2"."""
        return f"{name_of(self.tree)}{self.ordinal if self.ordinal > 1 else ''}"

    @property
    def is_generated(self) -> bool:
        """Whether Kubernetes makes a new name, and so a new object, each time that this one is created."""
        metadata = cast("Mapping[str, Any]", self.tree.get("metadata") or {})
        return "generateName" in metadata and not metadata.get("name")

    @functools.cached_property
    def key(self) -> tuple[str, str, str, str]:
        """Group, kind, namespace and name, which identify an object."""
        return (*self.group_kind, str(self.tree["metadata"].get("namespace", "")), self.name)


def name_of(tree: Mapping[str, Any]) -> str:
    """Return the name of an object for people: "migrate-*" for one with a `generateName`."""
    metadata = cast("Mapping[str, Any]", tree["metadata"])
    return str(metadata.get("name") or f"{metadata.get('generateName', '')}{_GENERATED}")


def numbered(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return the manifests of one service with their ordinals."""
    seen: Counter[tuple[str, str, str, str]] = Counter()
    found: list[Manifest] = []
    for each in manifests:
        seen[each.key] += each.is_generated
        found.append(replace(each, ordinal=seen[each.key]) if seen[each.key] > 1 else each)
    return found
