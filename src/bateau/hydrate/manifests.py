"""Apply an environment's patches for Kubernetes objects, both rendered and foreign ones.

Called by control.delivery, control.object_checks and control.own_manifest. It runs after render. With these patches
an environment can set fields for which a chart or a kustomization has no setting.

Invariant: ranks and conflicts are the same as for Bateau's own documents. A patch that matches nothing is an error.
Held by tests/hydrate/test_manifest_patches.py::test_ranks_and_conflicts_are_those_of_documents.
Invariant: patches cannot change the identity of an object: version, kind, name and namespace. Held by
tests/hydrate/test_manifest_patches.py::test_what_makes_an_object_this_object_stays.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bateau.domain.expression import reads_variables
from bateau.domain.kinds import SERVICE_KINDS
from bateau.domain.manifest import Manifest, name_of
from bateau.domain.origin import Origin, overlaid, removed
from bateau.domain.problem import Problem, Severity
from bateau.domain.spec import Spec
from bateau.hydrate.environments import Context, context, values_read
from bateau.hydrate.expressions import expand, names_hint
from bateau.hydrate.patches import Patch, Patched, applicable, overlap, patches_of, speaks_of_manifests, unmatched
from bateau.hydrate.paths import PathError, remove_at, set_at
from bateau.kit.cel import CelError
from bateau.kit.json_value import ReadJson, ReadObject, object_at
from bateau.kit.position import around, child, item, joined, leaves
from bateau.kit.suggest import did_you_mean

_IDENTITY: Final = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))


class ManifestPatches:
    """The patches of one environment for Kubernetes objects. False if it has none.

    hydrate.services reports errors in the environment itself. An environment with errors has no patches here.
    """

    def __init__(
        self, specs: Iterable[Spec], environment: str | None, variables: Mapping[str, str] | None = None
    ) -> None:
        environments = {spec.name: spec for spec in specs if spec.kind == "Environment"}
        self._context, problems = context(environment, environments, variables or {})
        every = [] if problems else patches_of(self._context)
        self._patches = [patch for patch in every if speaks_of_manifests(patch)]
        self._kinds = {str(patch.match["kind"]) for patch in self._patches}
        self._numbers = {id(patch): number for number, patch in enumerate(self._patches)}
        self._reading = frozenset(number for number, patch in enumerate(self._patches) if _reads_variables(patch))

    @property
    def read(self) -> frozenset[str]:
        """The values of the variables that the environment declares. No message may contain them."""
        return self._context.read

    @property
    def environment(self) -> ReadObject | None:
        """The variable `environment` of policies; None without an environment."""
        return self._context.seen if self._context.name else None

    def read_variables(self, matched: Collection[int]) -> bool:
        """Whether any of these patches sets a value that depends on `env()`."""
        return not self._reading.isdisjoint(matched)

    def __bool__(self) -> bool:
        return bool(self._patches)

    def applied(self, manifests: Sequence[Manifest]) -> "PatchedManifests":
        """Return manifests with the patches applied. Each manifest is patched independently of the others."""
        if not any(manifest.tree["kind"] in self._kinds for manifest in manifests):
            return PatchedManifests(manifests=tuple(manifests))
        wrong: list[Problem] = []
        matched: set[int] = set()
        made: list[Manifest] = []
        for manifest in manifests:
            chosen, speaking = applicable(self._patches, _subject(manifest, self._context), wrong)
            matched |= {self._numbers[id(patch)] for patch in speaking}
            for patch in chosen:
                manifest = _patched(manifest, patch, self._context, wrong)  # noqa: PLW2901 - one after another
            made.append(manifest)
        return PatchedManifests(manifests=tuple(made), problems=tuple(wrong), matched=frozenset(matched))

    def unmatched(self, matched: Collection[int], kinds: Collection[str], *, whole: bool = True) -> list[Problem]:
        """Return a problem for each patch that matched no manifest. `kinds` are the kinds of all manifests.

        If `whole` is false, some manifests could not be rendered, so the problem is a warning only.
        """
        found: list[Problem] = []
        for patch in (patch for number, patch in enumerate(self._patches) if number not in matched):
            (problem,) = unmatched([patch], "manifest")
            kind = str(patch.match["kind"])
            near = None if kind in kinds else did_you_mean(kind, sorted({*SERVICE_KINDS, *kinds}))
            if whole:
                found.append(replace(problem, hint=near or problem.hint))
            else:
                says = "not checked: the patch matches none of the manifests that could be rendered"
                found.append(Problem(where=problem.where, says=says, severity=Severity.WARNING))
        return list({problem.where: problem for problem in reversed(found)}.values())[::-1]


def _reads_variables(patch: Patch) -> bool:
    return any(isinstance(value, str) and reads_variables(value) for _, value in leaves(patch.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedManifests:
    """Manifests after their patches. `matched` are the numbers of the patches that match any of them."""

    manifests: tuple[Manifest, ...]
    problems: tuple[Problem, ...] = ()
    matched: frozenset[int] = frozenset()


def _subject(manifest: Manifest, found: Context) -> Patched:
    tree = manifest.tree
    labels = object_at(tree, "metadata", "labels")
    return Patched(kind=str(tree["kind"]), name=name_of(tree), labels=labels, names=lambda: _names(tree, found))


def _names(tree: ReadObject, found: Context) -> ReadObject:
    return {
        "object": tree,
        "kind": tree["kind"],
        "metadata": tree["metadata"],
        "spec": tree.get("spec") or {},
        "values": found.values,
        "environment": found.seen,
    }


def _patched(manifest: Manifest, patch: Patch, found: Context, wrong: list[Problem]) -> Manifest:
    called = f"{manifest.group_kind[1]} {manifest.name}"
    if any(overlap(patch.steps, each) for each in _IDENTITY):
        hint = "patches cannot change the version, kind, name or namespace of an object"
        wrong.append(Problem(where=patch.at, says=f"`{patch.path}` of {called} cannot be patched", hint=hint))
        return manifest
    chains: dict[str, tuple[Origin, ...]] = {}
    try:
        if patch.value is None:
            return _without(manifest, patch)
        value = _expanded(patch.value, "", patch, (_names(manifest.tree, found), found), chains)
        edit = set_at(manifest.tree, patch.path, value)
    except PathError as error:
        says = f"the patch cannot be applied to {called}: {error}"
        wrong.append(Problem(where=patch.at, says=says, hint=error.hint))
        return manifest
    except CelError as error:
        hint = names_hint(error, _names(manifest.tree, found))
        wrong.append(Problem(where=patch.at, says=f"{patch.path} of {called}: {error}", hint=hint))
        return manifest
    over = {joined(edit.path, at): chain for at, chain in chains.items()}
    for at, each in leaves(edit.value, edit.path):
        over.setdefault(at, (_step(patch, each),))  # the key of an item that is selected by it
    return replace(manifest, tree=object_at(edit.tree), origins=overlaid(manifest.origins, edit.made, over, patch.at))


def _without(manifest: Manifest, patch: Patch) -> Manifest:
    """Return a manifest without the field or list item that a patch removes. Raises PathError."""
    edit = remove_at(manifest.tree, patch.path)
    origins = removed(manifest.origins, edit.path, patch.at)
    holder = next(around(edit.path), "")
    if (empty := dict(leaves(edit.tree)).get(holder)) in ({}, []):
        origins = overlaid(origins, holder, {holder: (_step(patch, empty),)})
    return replace(manifest, tree=object_at(edit.tree), origins=origins)


def _step(patch: Patch, value: ReadJson) -> Origin:
    return Origin("patch", patch.at, value, f"patch of {patch.environment}")


def _expanded(
    value: ReadJson, path: str, patch: Patch, seen: tuple[ReadObject, Context], over: dict[str, tuple[Origin, ...]]
) -> ReadJson:
    """Return the value with its expressions evaluated, and add the origin of each leaf to `over`. Raises CelError.

    `path` is the path of this value inside the value that the patch sets.
    """
    if isinstance(value, dict) and value:
        return {key: _expanded(each, child(path, key), patch, seen, over) for key, each in value.items()}
    if isinstance(value, list) and value:
        return [_expanded(each, item(path, index), patch, seen, over) for index, each in enumerate(value)]
    if not (isinstance(value, str) and "${" in value):
        over[path] = (_step(patch, value),)
        return value
    names, found = seen
    result = expand(value, names, variables=found.variables)
    read = values_read(value, found)
    over.update({at: (Origin("expression", patch.at, each, value.strip()), *read) for at, each in leaves(result, path)})
    return result
