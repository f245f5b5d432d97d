"""Copy the pinned versions of one environment to the next, with a minimal edit of the YAML text.

Called by sources.git.overlays and wiring.promotion. Pure.

Invariant: outside the changed values, the text keeps every byte, including comments, quotes, order and line ends. Held
by tests/git/test_promotion.py.
Invariant: the new text is read again, and rejected unless it has exactly the requested values. Held by
tests/git/test_promotion.py::test_what_cannot_be_changed_safely_is_a_problem_and_the_text_stays.
Refused: load and dump; nobody reviews a pull request that changes every line.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import yaml

from bateau.domain.problem import Problem
from bateau.kit.json_value import SCALARS, Json, Scalar, array_at, object_at
from bateau.kit.position import Position, child, steps
from bateau.kit.yaml_tree import Document, read_documents
from bateau.sources.git.scalar import written

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
    document = _document(target, problems)
    if document is None:
        return Promotion(text=target.text, problems=tuple(problems))
    text, said, expected = target.text, list[str](), copy.deepcopy(document.tree)
    for path, value in sorted(changes.items()):
        found = _Place.of(text, target.environment, path)
        if isinstance(found, str):
            where = document.positions.get(path, document.position)
            problems.append(Problem(where=where, says=f"{path} cannot be changed: {found}", hint="change it by hand"))
            continue
        text = found.with_value(text, value)
        old = _put(expected, steps(path), value)
        if old != value:
            said.append(f"{_said(path)}: {_brief(old)} -> {_brief(value)}")
    again = _document(Written(file=target.file, text=text, environment=target.environment), [])
    if not problems and (again is None or again.tree != expected):
        says = "the format of the document does not allow a safe change"
        problems.append(Problem(where=document.position, says=says, hint="change it by hand"))
    if problems:
        return Promotion(text=target.text, problems=tuple(problems))
    return Promotion(text=text, changes=tuple(said))


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


def _put(tree: Json, path: tuple[str | int, ...], value: Scalar) -> Json:
    """Set the value in a plain tree, and return the old one."""
    step, *rest = path
    old: Json = None
    if isinstance(tree, dict) and isinstance(step, str):
        if rest:
            return _put(tree.setdefault(step, {}), (*rest,), value)
        old, tree[step] = tree.get(step), value
    elif isinstance(tree, list) and isinstance(step, int):
        if rest:
            return _put(tree[step], (*rest,), value)
        old, tree[step] = tree[step], value
    return old


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of a value in the text, or the position at which a missing key is added."""

    node: yaml.ScalarNode | yaml.MappingNode
    missing: tuple[str, ...]

    @classmethod
    def of(cls, text: str, environment: str | None, path: str) -> "_Place | str":
        """Return the place of a path, or the reason why it cannot be changed."""
        try:
            roots: list[yaml.Node | None] = list(yaml.compose_all(text, yaml.SafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError):
            return "another document in the file is not valid YAML"
        for root in roots:
            if root is None:
                continue
            kind, metadata = _get(root, "kind"), _get(root, "metadata")
            name = metadata and _get(metadata, "name")
            if environment is None:
                return cls._below(root, steps(path))
            if kind and name and (kind.value, name.value) == ("Environment", environment):
                return cls._below(root, steps(path))
        return "the document does not exist"

    @classmethod
    def _below(cls, root: yaml.Node, path: tuple[str | int, ...]) -> "_Place | str":
        node = root
        for number, step in enumerate(path):
            found = _get(node, step)
            if found is None:
                rest = path[number:]
                keys = [each for each in rest if isinstance(each, str)]
                if not isinstance(node, yaml.MappingNode) or len(keys) != len(rest):
                    return "its parent is not a mapping"
                if not node.value:
                    return "the mapping around it is empty"
                if _uses(root, node) > 1:
                    return "its parent is an alias, and other values would change too"
                return cls(node, tuple(keys))
            if _uses(root, found) > 1:
                return "it is an alias, and other values would change too"
            node = found
        if not isinstance(node, yaml.ScalarNode):
            return "it is not a single value"
        if node.style in ("|", ">"):
            return "it is a block of text"
        return cls(node, ())

    def with_value(self, text: str, value: Scalar) -> str:
        """Return the text with the value in it."""
        if isinstance(self.node, yaml.ScalarNode):
            start, end = self.node.start_mark.index, self.node.end_mark.index
            gap = " " if start == end else ""  # `image:` without a value
            return text[:start] + gap + written(value, style=self.node.style) + text[end:]
        line = f"{written(self.missing[0])}: {_nested(self.missing[1:], value)}"
        last_key, last = self.node.value[-1]
        if self.node.flow_style:
            at = last.end_mark.index
            return f"{text[:at]}, {line}{text[at:]}"
        # The end mark of a block is after the comments that follow it, so go back to the last line of the block itself.
        at = _end_of_line(text, _last_scalar(last).end_mark.index)
        newline = "\r\n" if "\r\n" in text else "\n"
        return f"{text[:at]}{newline}{' ' * last_key.start_mark.column}{line}{text[at:]}"


def _nested(keys: tuple[str, ...], value: Scalar) -> str:
    return f"{{{written(keys[0])}: {_nested(keys[1:], value)}}}" if keys else written(value)


def _get(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step] if step < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None


def _uses(root: yaml.Node, wanted: yaml.Node) -> int:
    """Return how often a node is used in the document. Aliases share one node."""
    seen: set[int] = set()
    count = 0
    waiting = [root]
    while waiting:
        node = waiting.pop()
        count += node is wanted
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [each for pair in node.value for each in pair]
    return count


def _last_scalar(node: yaml.Node) -> yaml.Node:
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    return node


def _end_of_line(text: str, at: int) -> int:
    if at and text[at - 1] == "\n":  # a block scalar ends after its line
        return at - 1
    ends = [found for found in (text.find("\r\n", at), text.find("\n", at)) if found >= 0]
    return min(ends, default=len(text))
