"""Apply patches to one of Bateau's documents, and update the positions and chains of its fields.

Called by hydrate.services. Patches of Kubernetes objects are applied by hydrate.manifests.

Invariant: after every patch, each leaf of the tree has its chain, and no other path has one. Held by
tests/hydrate/test_manifest_patches.py and tests/hydrate/test_patches.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bateau.domain.origin import Origin
from bateau.domain.problem import Problem
from bateau.domain.spec import Spec
from bateau.hydrate.environments import body_of
from bateau.hydrate.patches import Patch
from bateau.hydrate.paths import Edit, PathError, remove_at, set_at
from bateau.kit.json_value import ReadObject, object_at
from bateau.kit.position import Position, around, below, leaves, shifted
from bateau.kit.schema_field import shape_at

_HINT: Final = "a path begins with `spec.`, `metadata.labels.` or `metadata.annotations.`, or is `metadata.namespace`"


@dataclass(slots=True)
class PatchedDocument:
    """The metadata and spec of a document, with the position and the chain of every field."""

    spec: Spec
    tree: ReadObject
    origins: dict[str, tuple[Origin, ...]]
    positions: dict[str, Position]

    @classmethod
    def of(cls, spec: Spec) -> "PatchedDocument":
        """Return the document before any patch."""
        tree: ReadObject = {"metadata": spec.tree["metadata"], "spec": body_of(spec)}
        origins = {
            path: (Origin("written", spec.positions.get(path, spec.position), value),)
            for part, each in tree.items()
            for path, value in leaves(each, part)
        }
        return cls(spec, tree, origins, dict(spec.positions))

    def apply(self, patches: Iterable[Patch], wrong: list[Problem]) -> None:
        """Apply patches in their order, and add a problem to `wrong` for each that cannot be applied."""
        for patch in patches:
            if not _is_allowed(patch):
                wrong.append(Problem(where=patch.at, says=f"the path `{patch.path}` cannot be set", hint=_HINT))
                continue
            try:
                removes = patch.value is None and not self._is_open(patch)
                edit = remove_at(self.tree, patch.path) if removes else set_at(self.tree, patch.path, patch.value)
            except PathError as error:
                wrong.append(Problem(where=patch.at, says=f"the patch cannot be applied: {error}", hint=error.hint))
                continue
            self.tree = object_at(edit.tree)
            if removes:
                self._note_removed(edit.path, patch)
            else:
                self._note_set(edit, patch)

    def _is_open(self, patch: Patch) -> bool:
        """Whether null is a value at this path: in the values of a chart, null removes a default of the chart."""
        shape = shape_at(self.spec.definition.schema, patch.steps[1:]) if patch.steps[0] == "spec" else None
        return shape is not None and shape.of == "any"

    def _note_set(self, edit: Edit, patch: Patch) -> None:
        path = edit.path
        before = self.origins.get(path, ())
        self._forget(path)
        self.positions[path] = patch.at
        for at, value in leaves(edit.value, path):
            step = Origin("patch", patch.at, value, f"patch of {patch.environment}")
            self.origins[at] = (*(before if at == path else ()), step)
            self.positions[at] = patch.at
        for each in around(path):
            self.origins.pop(each, None)  # it was an empty mapping or list

    def _note_removed(self, path: str, patch: Patch) -> None:
        self._forget(path)
        self.origins = {shifted(each, path): chain for each, chain in self.origins.items()}
        self.positions = {shifted(each, path): at for each, at in self.positions.items()}
        holder = next(around(path))
        if (empty := dict(leaves(self.tree)).get(holder)) in ({}, []):
            self.origins[holder] = (Origin("patch", patch.at, empty, f"patch of {patch.environment}"),)

    def _forget(self, path: str) -> None:
        for known in (self.origins, self.positions):
            for each in [each for each in known if each == path or below(each, path)]:
                del known[each]


def _is_allowed(patch: Patch) -> bool:
    steps = patch.steps
    return (
        (steps[0] == "spec" and len(steps) > 1)
        or (steps[:2] in (("metadata", "labels"), ("metadata", "annotations")) and len(steps) > 2)  # noqa: PLR2004
        or steps == ("metadata", "namespace")
    )
