"""Apply the patches of an environment that speak of Kubernetes objects: rendered ones, and foreign ones alike.

Called by control.delivery after render. What a chart or a kustomization cannot be told, an environment can.

Invariant: the same ranks and conflicts as for documents of ours; a patch that matches nothing is a mistake.
Invariant: what makes an object this object (version, kind, name, namespace) cannot be patched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin, OverlaidOrigins
from bateau.domain.problem import Problem
from bateau.domain.spec import Spec
from bateau.hydrate.environments import Context, context, values_read
from bateau.hydrate.expressions import expand
from bateau.hydrate.patches import Patch, Patched, applicable, patches_of, speaks_of_manifests, unmatched
from bateau.hydrate.paths import PathError, leaves, set_at
from bateau.kit.cel import CelError
from bateau.kit.position import child, item
from bateau.kit.suggest import did_you_mean

_IDENTITY: Final = ("apiVersion", "kind", "metadata.name", "metadata.namespace")


def patches_manifests(specs: Iterable[Spec], environment: str | None) -> bool:
    """Whether any patch of an environment speaks of Kubernetes objects, so that they have to be rendered for it."""
    found, problems = context(environment, _environments(specs), {})
    return not problems and any(map(speaks_of_manifests, patches_of(found)))


def patch_manifests(
    manifests: Sequence[Manifest], specs: Iterable[Spec], environment: str | None, variables: Mapping[str, str] | None
) -> tuple[Sequence[Manifest], tuple[Problem, ...]]:
    """Return the manifests with the patches applied, and what is wrong with the patches."""
    found, problems = context(environment, _environments(specs), variables or {})
    patches = [] if problems else [patch for patch in patches_of(found) if speaks_of_manifests(patch)]
    if not patches:
        return manifests, ()  # what is wrong with the environment itself, hydrate has told
    kinds = {str(patch.match["kind"]) for patch in patches}
    unused = {id(patch): patch for patch in patches}
    wrong: list[Problem] = []
    made: list[Manifest] = []
    for manifest in manifests:
        if manifest.tree["kind"] in kinds:
            chosen, matched = applicable(patches, _subject(manifest, found), wrong)
            for patch in matched:
                unused.pop(id(patch), None)
            for patch in chosen:
                manifest = _patched(manifest, patch, found, wrong)  # noqa: PLW2901 - one patch after another
        made.append(manifest)
    there = {str(manifest.tree["kind"]) for manifest in manifests}
    for problem, patch in zip(unmatched(unused.values(), "manifest"), _first_of_each(unused.values()), strict=True):
        near = did_you_mean(str(patch.match["kind"]), ["Model", "App", *there])
        wrong.append(replace(problem, hint=near if near and patch.match["kind"] not in there else problem.hint))
    return made, tuple(wrong)


def _environments(specs: Iterable[Spec]) -> dict[str, Spec]:
    return {spec.name: spec for spec in specs if spec.kind == "Environment"}


def _first_of_each(patches: Iterable[Patch]) -> list[Patch]:
    return list({patch.where: patch for patch in reversed(list(patches))}.values())[::-1]


def _subject(manifest: Manifest, found: Context) -> Patched:
    tree = manifest.tree
    labels = cast("dict[str, Any]", tree["metadata"].get("labels") or {})
    return Patched(
        kind=str(tree["kind"]), name=str(tree["metadata"]["name"]), labels=labels, names=lambda: _names(tree, found)
    )


def _names(tree: Mapping[str, Any], found: Context) -> dict[str, Any]:
    return {
        "object": tree,
        "kind": tree["kind"],
        "metadata": tree["metadata"],
        "spec": tree.get("spec") or {},
        "values": found.values,
        "environment": {"name": found.name or "", "labels": dict(found.labels)},
    }


def _patched(manifest: Manifest, patch: Patch, found: Context, wrong: list[Problem]) -> Manifest:
    called = f"{manifest.tree['kind']} {manifest.tree['metadata']['name']}"
    if any(patch.path == each or patch.path.startswith(f"{each}.") for each in _IDENTITY):
        hint = "it is what makes the object this object"
        wrong.append(Problem(where=patch.at, says=f"`{patch.path}` of {called} cannot be set", hint=hint))
        return manifest
    over: dict[str, tuple[Origin, ...]] = {}
    try:
        _, path = set_at(manifest.tree, patch.path, None)
        value = _expanded(patch.value, path, patch, (_names(manifest.tree, found), found), over)
        tree, path = set_at(manifest.tree, patch.path, value)
    except PathError as error:
        wrong.append(Problem(where=patch.at, says=f"the patch cannot be applied to {called}: {error}"))
        return manifest
    except CelError as error:
        hint = "an expression sees: environment, kind, metadata, object, spec, values"
        wrong.append(Problem(where=patch.at, says=f"{patch.path} of {called}: {error}", hint=hint))
        return manifest
    before = manifest.origins.get(path, ())
    chains = {at: (*(before if at == path else ()), *steps) for at, steps in over.items()}
    return replace(manifest, tree=tree, origins=OverlaidOrigins(manifest.origins, chains))


def _expanded(
    value: Any, path: str, patch: Patch, seen: tuple[Mapping[str, Any], Context], over: dict[str, tuple[Origin, ...]]
) -> Any:
    """Return the value with its expressions evaluated, and note in `over` what made each leaf. Raises CelError."""
    if isinstance(value, dict) and value:
        fields = cast("dict[str, Any]", value)
        return {key: _expanded(each, child(path, key), patch, seen, over) for key, each in fields.items()}
    if isinstance(value, list) and value:
        items = cast("list[Any]", value)
        return [_expanded(each, item(path, index), patch, seen, over) for index, each in enumerate(items)]
    says = f"patch of {patch.environment}"
    if not (isinstance(value, str) and "${" in value):
        over[path] = (Origin("patch", patch.at, value, says),)
        return cast("Any", value)
    names, found = seen
    result = expand(value, names, variables=found.variables)
    steps = (Origin("expression", patch.at, result, value.strip()), *values_read(value, found))
    over.update({at: steps for at, _ in leaves(result, path)})
    return result
