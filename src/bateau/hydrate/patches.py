"""Which patches change a document, in which order, and what they set.

Called by hydrate.services.

Invariant: patches of environments that come later in the chain win; within one environment the more exact match wins
(everything, kind, labels or `when`, glob, name). Two of equal rank that set one path to different values are a
mistake, with both places: the order of files never decides.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from bateau.domain.problem import Problem
from bateau.domain.spec import Spec
from bateau.hydrate.environments import Context, body_of
from bateau.kit.cel import CelError, evaluate
from bateau.kit.position import Position, child


@dataclass(frozen=True, kw_only=True)
class Patch:
    """One `set` entry of one patch. `rank` is (environment's place in the chain, how exact the match is)."""

    rank: tuple[int, int]
    match: Mapping[str, Any]
    path: str
    value: Any
    at: Position
    where: Position
    environment: str


def patches_of(context: Context) -> list[Patch]:
    """Return every patch of a chain of environments, lowest rank first."""
    found: list[Patch] = []
    for depth, environment in enumerate(context.chain):
        for index, written in enumerate(cast("list[dict[str, Any]]", body_of(environment).get("patches") or [])):
            base = f"spec.patches[{index}]"
            match = cast("dict[str, Any]", written.get("match") or {})
            for path, value in cast("dict[str, Any]", written.get("set") or {}).items():
                where = environment.positions.get(base, environment.position)
                found.append(
                    Patch(
                        rank=(depth, _exactness(match)),
                        match=match,
                        path=path,
                        value=value,
                        at=environment.positions.get(child(f"{base}.set", path), where),
                        where=where,
                        environment=environment.name,
                    )
                )
    return sorted(found, key=lambda patch: (patch.rank, patch.at))


def applicable(
    patches: Sequence[Patch], spec: Spec, context: Context, problems: list[Problem]
) -> tuple[list[Patch], list[Patch]]:
    """Return the patches to apply to `spec`, lowest rank first, and all that speak of it.

    Of those that set one path only the last is applied.
    """
    matched = [patch for patch in patches if _matches(patch, spec, context, problems)]
    chosen: dict[str, Patch] = {}
    for patch in matched:
        earlier = chosen.get(patch.path)
        if earlier and earlier.rank == patch.rank and earlier.value != patch.value:
            says = f"two patches of equal rank set {patch.path} of {spec.kind} {spec.name}"
            hint = f"the other is at {earlier.at}; make one match more exact, or remove one"
            problems.append(Problem(where=patch.at, says=says, hint=hint))
        chosen[patch.path] = patch
    return sorted(chosen.values(), key=lambda patch: (patch.rank, patch.at)), matched


def names_for(spec: Spec, context: Context) -> dict[str, Any]:
    """Return what expressions see for a document, beside its ports."""
    return {
        "metadata": spec.tree["metadata"],
        "spec": body_of(spec),
        "values": context.values,
        "environment": {"name": context.name or "", "labels": dict(context.labels)},
    }


def _exactness(match: Mapping[str, Any]) -> int:
    name = match.get("name")
    if name:
        return 3 if _is_glob(str(name)) else 4
    if match.get("labels") or match.get("when"):
        return 2
    return 1 if match.get("kind") else 0


def _is_glob(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _matches(patch: Patch, spec: Spec, context: Context, problems: list[Problem]) -> bool:
    match = patch.match
    if match.get("kind") not in (None, spec.kind):
        return False
    if match.get("name") is not None and not fnmatch.fnmatchcase(spec.name, str(match["name"])):
        return False
    labels = cast("dict[str, Any]", spec.tree["metadata"].get("labels") or {})
    if any(labels.get(key) != value for key, value in cast("dict[str, Any]", match.get("labels") or {}).items()):
        return False
    when = match.get("when")
    if not when:
        return True
    try:
        verdict = evaluate(str(when), {**names_for(spec, context), "kind": spec.kind})
    except CelError as error:
        problems.append(
            Problem(where=patch.where, says=f"when of this patch fails for {spec.kind} {spec.name}: {error}")
        )
        return False
    if not isinstance(verdict, bool):
        problems.append(Problem(where=patch.where, says="when of this patch is neither true nor false"))
        return False
    return verdict
