"""Apply the patches of an environment that speak of Kubernetes objects: rendered ones, and foreign ones alike.

Called by control.assembly, control.delivery and control.own_manifest. What a chart or a kustomization cannot be told,
an environment can.

Invariant: the same ranks and conflicts as for documents of ours; a patch that matches nothing is a mistake.
Invariant: what makes an object this object (version, kind, name, namespace) cannot be patched.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from bateau.domain.expression import reads_variables
from bateau.domain.manifest import Manifest, name_of
from bateau.domain.origin import Origin, overlaid, removed
from bateau.domain.problem import Problem, Severity
from bateau.domain.spec import Spec
from bateau.hydrate.environments import Context, context, values_read
from bateau.hydrate.expressions import expand, names_hint
from bateau.hydrate.patches import Patch, Patched, applicable, overlap, patches_of, speaks_of_manifests, unmatched
from bateau.hydrate.paths import PathError, remove_at, set_at
from bateau.kit.cel import CelError
from bateau.kit.position import around, child, item, joined, leaves
from bateau.kit.suggest import did_you_mean

_IDENTITY: Final = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))


class ManifestPatches:
    """The patches of one environment that speak of Kubernetes objects. False where there are none.

    What is wrong with the environment itself, hydrate tells; here it has no patches then.
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
        """The values of the variables that the environment declares: nothing that is said shows them."""
        return self._context.read

    @property
    def environment(self) -> Mapping[str, Any] | None:
        """What policies see of the environment; None where there is none."""
        return self._context.seen if self._context.name else None

    def read_variables(self, matched: Collection[int]) -> bool:
        """Whether any of these patches sets what `env()` has read."""
        return not self._reading.isdisjoint(matched)

    def __bool__(self) -> bool:
        return bool(self._patches)

    def applied(self, manifests: Sequence[Manifest]) -> "PatchedManifests":
        """Return manifests with the patches applied; each is patched without a look at the others."""
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
        """Return what is said of patches that no manifest has matched; `kinds` are those that there are.

        Where not all manifests could be made (`whole`), nothing is wrong with such a patch yet.
        """
        found: list[Problem] = []
        for patch in (patch for number, patch in enumerate(self._patches) if number not in matched):
            (problem,) = unmatched([patch], "manifest")
            kind = str(patch.match["kind"])
            near = None if kind in kinds else did_you_mean(kind, sorted({"Model", "App", *kinds}))
            if whole:
                found.append(replace(problem, hint=near or problem.hint))
            else:
                says = "not checked: the patch matches none of the manifests that could be made here"
                found.append(Problem(where=problem.where, says=says, severity=Severity.WARNING))
        return list({problem.where: problem for problem in reversed(found)}.values())[::-1]


def _reads_variables(patch: Patch) -> bool:
    return any(isinstance(value, str) and reads_variables(value) for _, value in leaves(patch.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedManifests:
    """Manifests after their patches. `matched` are the numbers of the patches that speak of any of them."""

    manifests: tuple[Manifest, ...]
    problems: tuple[Problem, ...] = ()
    matched: frozenset[int] = frozenset()


def _subject(manifest: Manifest, found: Context) -> Patched:
    tree = manifest.tree
    labels = cast("dict[str, Any]", tree["metadata"].get("labels") or {})
    return Patched(kind=str(tree["kind"]), name=name_of(tree), labels=labels, names=lambda: _names(tree, found))


def _names(tree: Mapping[str, Any], found: Context) -> dict[str, Any]:
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
        hint = "it is, or holds, what makes the object this object: version, kind, name, namespace"
        wrong.append(Problem(where=patch.at, says=f"`{patch.path}` of {called} cannot be set", hint=hint))
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
    return replace(manifest, tree=edit.tree, origins=overlaid(manifest.origins, edit.made, over, patch.at))


def _without(manifest: Manifest, patch: Patch) -> Manifest:
    """Return a manifest without the field or list item that a patch removes. Raises PathError."""
    edit = remove_at(manifest.tree, patch.path)
    origins = removed(manifest.origins, edit.path, patch.at)
    holder = next(around(edit.path), "")
    if (empty := dict(leaves(edit.tree)).get(holder)) in ({}, []):
        origins = overlaid(origins, holder, {holder: (_step(patch, empty),)})
    return replace(manifest, tree=edit.tree, origins=origins)


def _step(patch: Patch, value: Any) -> Origin:
    return Origin("patch", patch.at, value, f"patch of {patch.environment}")


def _expanded(
    value: Any, path: str, patch: Patch, seen: tuple[Mapping[str, Any], Context], over: dict[str, tuple[Origin, ...]]
) -> Any:
    """Return the value with its expressions evaluated, and note in `over` what made each leaf. Raises CelError.

    `path` leads from the value that is set to the part of it.
    """
    if isinstance(value, dict) and value:
        fields = cast("dict[str, Any]", value)
        return {key: _expanded(each, child(path, key), patch, seen, over) for key, each in fields.items()}
    if isinstance(value, list) and value:
        items = cast("list[Any]", value)
        return [_expanded(each, item(path, index), patch, seen, over) for index, each in enumerate(items)]
    if not (isinstance(value, str) and "${" in value):
        over[path] = (_step(patch, value),)
        return cast("Any", value)
    names, found = seen
    result = expand(value, names, variables=found.variables)
    read = values_read(value, found)
    over.update({at: (Origin("expression", patch.at, each, value.strip()), *read) for at, each in leaves(result, path)})
    return result
