"""A Kubernetes object as it would be applied.

Made by render from services, or taken over from foreign documents; read by policy, plan, bundle and the faces.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bateau.domain.origin import Origins


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One object. `service` is the key of the service that it was made for, None for foreign documents.

    Every leaf of `tree` has its chain in `origins`, by path ("spec.template.spec.containers[0].image").
    """

    service: str | None
    target: str
    tree: Mapping[str, Any]
    origins: Origins

    @functools.cached_property
    def group_kind(self) -> tuple[str, str]:
        """Group and kind; the version does not tell objects apart."""
        group, slash, _ = str(self.tree["apiVersion"]).partition("/")
        return (group if slash else "", str(self.tree["kind"]))

    @functools.cached_property
    def key(self) -> tuple[str, str, str, str]:
        """Group, kind, namespace and name: what makes it one object."""
        metadata = self.tree["metadata"]
        return (*self.group_kind, str(metadata.get("namespace", "")), str(metadata["name"]))
