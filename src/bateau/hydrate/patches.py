"""Choose the patches that apply to a document or a manifest, and put them in order.

Called by hydrate.

Invariant: patches of environments later in the chain win; within one environment the more exact match wins (everything,
kind, labels or `when`, glob, name). Two patches of equal rank conflict if they set one path to different values, or a
path and a path below it; the error names both places. The order of files never decides. Held by
tests/hydrate/test_environments.py.
Invariant: `when` sees the document as its file has it, without patches, so no patch depends on another. Held by
tests/hydrate/test_environments.py::test_when_sees_a_document_without_its_patches.
"""

import fnmatch
import functools
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from bateau.domain.kinds import SERVICE_KINDS
from bateau.domain.problem import Problem
from bateau.domain.spec import Spec
from bateau.hydrate.environments import Context, body_of
from bateau.hydrate.paths import PathError, Step, parse_path
from bateau.kit.cel import CelError, evaluate
from bateau.kit.json_value import ReadJson, ReadObject, array_at, object_at
from bateau.kit.position import Position, child
from bateau.kit.suggest import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Patch:
    """One `set` entry of one patch. `rank` is (position of the environment in the chain, exactness of the match)."""

    rank: tuple[int, int]
    match: ReadObject
    path: str
    value: ReadJson
    at: Position
    where: Position
    environment: str

    @functools.cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the path. A malformed path is one step; the code that sets it reports the error."""
        try:
            return parse_path(self.path)
        except PathError:
            return (self.path,)


def overlap(one: Sequence[Step], other: Sequence[Step]) -> bool:
    """Whether two paths are the same, or one is below the other."""
    shared = min(len(one), len(other))
    return tuple(one[:shared]) == tuple(other[:shared])


def speaks_of_manifests(patch: Patch) -> bool:
    """Whether a patch is for Kubernetes objects and not for Bateau's own documents."""
    return patch.match.get("kind") not in (None, *SERVICE_KINDS)


def patches_of(context: Context) -> list[Patch]:
    """Return the patches of all environments in the chain, lowest rank first."""
    found: list[Patch] = []
    for depth, environment in enumerate(context.chain):
        for index, written in enumerate(array_at(body_of(environment), "patches")):
            base = f"spec.patches[{index}]"
            match = object_at(written, "match")
            for path, value in object_at(written, "set").items():
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


@dataclass(frozen=True, kw_only=True)
class Patched:
    """A document or manifest that patches are matched against; `names` returns the variables for their `when`."""

    kind: str
    name: str
    labels: ReadObject
    names: Callable[[], ReadObject]


def of_spec(spec: Spec, context: Context) -> Patched:
    """Return the view of one of Bateau's own documents that patches are matched against."""
    labels = object_at(spec.tree, "metadata", "labels")
    names = lambda: {**names_for(spec, context), "kind": spec.kind}  # noqa: E731 - called only for a patch with `when`
    return Patched(kind=spec.kind, name=spec.name, labels=labels, names=names)


def applicable(patches: Sequence[Patch], subject: Patched, problems: list[Problem]) -> tuple[list[Patch], list[Patch]]:
    """Return the patches to apply to `subject`, lowest rank first, and every patch that matches it or may match it.

    If several patches set one path, only the last is applied. A patch whose `when` fails may match.
    """
    verdicts = [(patch, _matches(patch, subject, problems)) for patch in patches]
    matched = [patch for patch, verdict in verdicts if verdict]
    failed = [patch for patch, verdict in verdicts if verdict is None]
    chosen: dict[tuple[Step, ...], Patch] = {}
    around: dict[tuple[Step, ...], Patch] = {}  # by path: the last patch that sets a path below it
    for patch in matched:
        before = [chosen.get(patch.steps[:depth]) for depth in range(1, len(patch.steps) + 1)]
        rivals = [each for each in (*before, around.get(patch.steps)) if each and each.rank == patch.rank]
        rival = next((each for each in rivals if _written(each) != _written(patch)), None)
        if rival:
            says = f"two patches of equal rank set {patch.path} of {subject.kind} {subject.name}"
            hint = f"the other is at {rival.at}; make one match more exact, or remove one"
            problems.append(Problem(where=patch.at, says=says, hint=hint))
        chosen[patch.steps] = patch
        around |= {patch.steps[:depth]: patch for depth in range(1, len(patch.steps))}
    return sorted(chosen.values(), key=_order), [*matched, *failed]


def _order(patch: Patch) -> tuple[tuple[int, int], bool, tuple[tuple[int, str], ...]]:
    """Return the place of a patch among those of one document.

    The path decides and not the file. Of equal rank, removals come last, and of a list from its end: they move items.
    """
    removes = patch.value is None
    steps = ((-each if removes else each, "") if isinstance(each, int) else (0, str(each)) for each in patch.steps)
    return patch.rank, removes, tuple(steps)


def _written(patch: Patch) -> tuple[tuple[Step, ...], str]:
    """Return a key that differs for different patches. It is JSON because true and 1 are equal in Python."""
    return patch.steps, json.dumps(patch.value, sort_keys=True, default=str)


def names_for(spec: Spec, context: Context) -> dict[str, ReadJson]:
    """Return the variables that expressions in a document can use, except its ports."""
    return {
        "metadata": spec.tree["metadata"],
        "spec": body_of(spec),
        "values": context.values,
        "environment": context.seen,
    }


def _exactness(match: ReadObject) -> int:
    name = match.get("name")
    if name:
        return 3 if _is_glob(str(name)) else 4
    if match.get("labels") or match.get("when"):
        return 2
    return 1 if match.get("kind") else 0


def _is_glob(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _matches(patch: Patch, subject: Patched, problems: list[Problem]) -> bool | None:
    """Whether a patch matches `subject`. If its `when` fails, add a problem and return None."""
    match = patch.match
    if match.get("kind") not in (None, subject.kind):
        return False
    if match.get("name") is not None and not fnmatch.fnmatchcase(subject.name, str(match["name"])):
        return False
    wanted = object_at(match, "labels")
    if any(subject.labels.get(key) != value for key, value in wanted.items()):
        return False
    when = match.get("when")
    if not when:
        return True
    try:
        verdict = evaluate(str(when), subject.names())
    except CelError as error:
        problems.append(
            Problem(where=patch.where, says=f"the patch's `when` fails for {subject.kind} {subject.name}: {error}")
        )
        return None
    if not isinstance(verdict, bool):
        problems.append(Problem(where=patch.where, says="the patch's `when` is neither true nor false"))
        return None
    return verdict


def unmatched(patches: Iterable[Patch], what: str, names: Collection[str] = ()) -> list[Problem]:
    """Report each patch that matched nothing, once.

    `what` is the noun for the candidates ("document", "manifest"); `names` are the candidates' names, for suggestions.
    """
    seen: dict[Position, Problem] = {}
    for patch in patches:
        near = did_you_mean(str(patch.match.get("name", "")), names)
        hint = near or "check `kind`, `name` and `labels` in its `match`, or remove the patch"
        seen.setdefault(patch.where, Problem(where=patch.where, says=f"the patch matches no {what}", hint=hint))
    return list(seen.values())
