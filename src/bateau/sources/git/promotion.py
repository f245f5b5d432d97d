"""Copy the pinned versions of one environment to the next, with a minimal edit of the YAML text.

Called by sources.git.overlays and wiring.promotion. Pure.

Invariant: outside the changed values, the text keeps every byte, including comments, quotes, order and line ends. Held
by tests/git/test_promotion.py.
Invariant: the new text is read again, and rejected unless it has exactly the requested values. Held by
tests/git/test_promotion.py::test_what_cannot_be_changed_safely_is_a_problem_and_the_text_stays.
Refused: load and dump; nobody reviews a pull request that changes every line.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bateau.domain.problem import Problem
from bateau.kit.json_value import SCALARS, Json, Scalar, array_at, object_at
from bateau.kit.position import Position, child, steps
from bateau.kit.yaml_edit import edited
from bateau.kit.yaml_tree import Document, read_documents

# The fields that choose the software. Each environment has its own capacity and places: replicas are not promoted.
PINS: Final = frozenset(
    {"image", "source", "wasm", "vm", "chart", "model", "tag", "version", "digest", "revision", "sha256"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The text of a file with an Environment document, and the name of that environment.

    Without a name, it stands for the first document of the file.
    """

    file: str
    text: str
    environment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """The new text of the target's file, one line per change in `changes`, and per kept difference in `left`.

    If there are problems, the text is the old one. `unpinned` is the problem if the source pins nothing.
    """

    text: str
    changes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    unpinned: Problem | None = None


def promote(source: Written, target: Written, *, service: str | None = None) -> Promotion:
    """Copy the pins of `source` to `target`, for one service ("chat") or for all.

    Pins are the values below `spec.values` (below `spec.values.NAME` for one service), and in the `set` of patches,
    whose last step is in PINS. Two patches correspond if their `match` is equal. No patch is added to the target.
    """
    problems: list[Problem] = []
    ours, theirs = _document(source, problems), _document(target, problems)
    if ours is None or theirs is None:
        return Promotion(text=target.text, problems=tuple(problems))
    here, there = dict(_pinned(ours.tree, service)), dict(_pinned(theirs.tree, service))
    changes: dict[str, Scalar] = {}
    left: list[str] = []
    for key, (path, value) in here.items():
        _, old = there.get(key, (None, None))
        if key in there and old == value and type(old) is type(value):
            continue
        name = last_step(path)
        if name not in PINS:
            if key in there:
                left.append(f"{_said(path)} stays {_brief(old)} ({source.environment} has {_brief(value)})")
        elif key in there:
            changes[there[key][0]] = value
        elif path.startswith("spec.values"):
            changes[path] = value
        else:
            left.append(f"{_said(path)} is set by a patch that {target.environment} does not have")
    if not here:
        where = ours.positions.get("spec.values", ours.position)
        says = f"environment {source.environment} pins nothing of {service}" if service else "nothing is pinned"
        path = f"values.{service or 'NAME'}.image"
        hint = f"write spec.{path}, and `${{ {path} }}` where it is used"
        return Promotion(text=target.text, unpinned=Problem(where=where, says=says, hint=hint))
    edited = edit(target, changes)
    return Promotion(text=edited.text, changes=edited.changes, left=tuple(left), problems=edited.problems)


def edit(target: Written, changes: Mapping[str, Scalar]) -> Promotion:
    """Set scalars by their full path: `spec.values.chat.image`, `spec.patches[0].set['spec.image']`.

    Missing keys are added to the innermost existing mapping. No item is added to a list.
    """
    problems: list[Problem] = []
    if _document(target, problems) is None:
        return Promotion(text=target.text, problems=tuple(problems))
    which = ("Environment", target.environment) if target.environment else None
    made = edited(target.file, target.text, which, changes)
    if made.flaws:
        problems = [Problem(where=flaw.position, says=flaw.says, hint=flaw.hint) for flaw in made.flaws]
        return Promotion(text=target.text, problems=tuple(problems))
    said = [f"{_said(each.path)}: {_brief(each.before)} -> {_brief(each.after)}" for each in made.changes]
    return Promotion(text=made.text, changes=tuple(said))


def _document(written_in: Written, problems: list[Problem]) -> Document | None:
    documents, unread = read_documents(written_in.file, written_in.text)
    for document in documents:
        if _is_environment(document.tree, written_in.environment) and not document.flaws:
            return document
    flaws = [flaw for each in (*documents, *unread) for flaw in each.flaws]
    problems += [Problem(where=flaw.position, says=flaw.says, hint=flaw.hint) for flaw in flaws]
    if not flaws:
        says = f"there is no Environment {written_in.environment} in this file"
        problems.append(Problem(where=Position(written_in.file, 1, 1), says=says))
    return None


def _is_environment(tree: Json, name: str | None) -> bool:
    if name is None:
        return isinstance(tree, dict)
    match tree:
        case {"kind": "Environment", "metadata": {"name": found}}:
            return bool(found == name)
        case _:
            return False


def _pinned(tree: Json, service: str | None) -> Iterator[tuple[str, tuple[str, Scalar]]]:
    """Yield every scalar that may pin a service: a key that is the same in all environments, its path and its value."""
    for name, value in object_at(tree, "spec", "values").items():
        if service is None or name == service:
            for path, leaf in _leaves(value, child("spec.values", name)):
                yield path, (path, leaf)
    for index, patch in enumerate(array_at(tree, "spec", "patches")):
        match = object_at(patch, "match")
        if service is None or match.get("name") == service:
            for name, leaf in object_at(patch, "set").items():
                if isinstance(leaf, SCALARS) and "${" not in str(leaf):
                    key = f"{json.dumps(match, sort_keys=True)} {name}"
                    yield key, (child(f"spec.patches[{index}].set", name), leaf)


def _leaves(value: Json, path: str) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, child(path, key))
    elif not isinstance(value, list):
        yield path, value


def last_step(path: str) -> str:
    """Return the last field of a path. The path in a patch's `set` is itself a single step."""
    last = steps(path)[-1]
    return str(steps(last)[-1]) if isinstance(last, str) and "." in last else str(last)


def _said(path: str) -> str:
    return path.removeprefix("spec.")


def _brief(value: Json) -> str:
    return "nothing" if value is None else str(value)
