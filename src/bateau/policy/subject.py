"""One object to judge, whichever stage it comes from: a spec, a hydrated service, or a manifest.

Made by the callers of judge, from specs, services and manifests; read by policy.judging and policy.matching.

Invariant: `where` points into the specs or the foreign documents whenever any part of the origin is known. Held by
tests/policy/test_judge.py.
Refused: a separate judge for each stage. A rule sees a document, whoever made it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin, Origins, place
from bateau.domain.spec import Spec
from bateau.domain.workload import Workload
from bateau.kit.json_value import ReadObject, object_at
from bateau.kit.position import Position

Stage = Literal["spec", "release", "manifest"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A document with its places. `owner` is the key of the service of a manifest.

    `rejected`: the schema rejects the manifest, so that a rule may find no form to rely on.
    """

    stage: Stage
    label: str
    tree: ReadObject
    position: Position | None = None
    positions: Mapping[str, Position] = field(default_factory=dict[str, Position])
    origins: Origins = field(default_factory=dict[str, tuple[Origin, ...]])
    owner: str | None = None
    rejected: bool = False

    @property
    def metadata(self) -> ReadObject:
        """The document's metadata; empty if there is none."""
        return object_at(self.tree, "metadata")

    @property
    def name(self) -> str:
        """Name of the object."""
        return str(self.metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        """Namespace; empty if the document has none."""
        return str(self.metadata.get("namespace", ""))

    @property
    def kind(self) -> str:
        """Kind of the object."""
        return str(self.tree.get("kind", ""))

    @property
    def group(self) -> str:
        """API group; empty for the core group."""
        group, slash, _ = str(self.tree.get("apiVersion", "")).partition("/")
        return group if slash else ""

    def where(self, path: str | None) -> Position | None:
        """Return where the field `path` was written, or the nearest thing around it, or the object."""
        if self.stage == "manifest":
            return place(self.origins, path or "") or self.position
        around = path or ""
        while around:
            for origin in reversed(self.origins.get(around, ())):
                if origin.at is not None:
                    return origin.at
            if found := self.positions.get(around):
                return found
            around = around[: max(around.rfind("."), around.rfind("["), 0)]
        return self.position


def of_spec(spec: Spec) -> Subject:
    """Return `spec` as written: expressions in `${ }` are still text."""
    return Subject(stage="spec", label=spec.key, tree=spec.tree, position=spec.position, positions=spec.positions)


def of_service(service: Workload) -> Subject:
    """Return `service`, hydrated for its environment."""
    return Subject(
        stage="release",
        label=service.key,
        tree=service.tree,
        position=service.position,
        positions=service.positions,
        origins=service.origins,
        owner=service.key,
    )


def of_manifest(manifest: Manifest, tree: ReadObject | None = None, *, rejected: bool = False) -> Subject:
    """Return `manifest`; its findings point at the place that it was made from.

    `tree` is the object as an API server shows it to its policies, with defaults, if that is known. `rejected`: the
    schema rejects it.
    """
    _, kind, namespace, name = manifest.key
    label = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
    seen = manifest.tree if tree is None else tree
    return Subject(
        stage="manifest", label=label, tree=seen, origins=manifest.origins, owner=manifest.service, rejected=rejected
    )
