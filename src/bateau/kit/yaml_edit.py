"""Set values in YAML text, and remove documents, by the smallest edit.

Called by sources.git.promotion and ui.changes. Knows nothing about Bateau.

Invariant: outside the changed values and the removed document, the text keeps every byte, including comments, quotes,
order and line ends. Held by tests/git/test_promotion.py and tests/kit/test_yaml_edit.py.
Invariant: the new text is read again, and rejected unless it has exactly the requested values. Held by
tests/git/test_promotion.py::test_what_cannot_be_changed_safely_is_a_problem_and_the_text_stays.
Refused: load and dump; nobody reviews a change of every line.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import yaml

from bateau.kit.json_value import Json, Scalar
from bateau.kit.position import Flaw, Position, steps
from bateau.kit.yaml_scalar import written
from bateau.kit.yaml_tree import DOCUMENT_START, Document, read_documents

Which = tuple[str, str | None] | None  # the kind and the name of a document, None: the first one that is a mapping

_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")


@dataclass(frozen=True, slots=True)
class Changed:
    """A value that was set; None stands for one that was not there."""

    path: str
    before: Json
    after: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """The new text, and the values that differ. With flaws, the text is the old one."""

    text: str
    changes: tuple[Changed, ...] = ()
    flaws: tuple[Flaw, ...] = ()


def edited(file: str, text: str, which: Which, changes: Mapping[str, Scalar]) -> Edited:
    """Set scalars of one document by their full path: `spec.scale.max`, `spec.patches[0].set['spec.image']`.

    Missing keys are added to the innermost existing mapping. No item is added to a list.
    """
    document = _document(file, text, which)
    if document is None:
        return Edited(
            text=text, flaws=(Flaw(position=Position(file, 1, 1), says="there is no such document in this file"),)
        )
    new, done, flaws, expected = text, list[Changed](), list[Flaw](), copy.deepcopy(document.tree)
    for path, value in sorted(changes.items()):
        found = _Place.of(new, which, path)
        if isinstance(found, str):
            where = document.positions.get(path, document.position)
            flaws.append(Flaw(position=where, says=f"{path} cannot be changed: {found}", hint="change it by hand"))
            continue
        new = found.with_value(new, value)
        old = _put(expected, steps(path), value)
        if old != value:
            done.append(Changed(path, old, value))
    again = _document(file, new, which)
    if not flaws and (again is None or again.tree != expected):
        says = "the format of the document does not allow a safe change"
        flaws.append(Flaw(position=document.position, says=says, hint="change it by hand"))
    return Edited(text=text, flaws=tuple(flaws)) if flaws else Edited(text=new, changes=tuple(done))


def without_document(file: str, text: str, which: tuple[str, str]) -> Edited:
    r"""Remove one document: the lines from its `---` to the next one. The text is empty if no document is left.

    >>> without_document("a.yaml", "kind: App\nmetadata: {name: a}\n---\nb: 1\n", ("App", "a")).text
    '---\nb: 1\n'
    """
    documents, unread = read_documents(file, text)
    found = [each for each in documents if _is(each.tree, which)]
    if len(found) != 1:
        says = f"the file has {len(found) or 'no'} documents of this kind and name"
        where = found[1].position if found else Position(file, 1, 1)
        return Edited(text=text, flaws=(Flaw(position=where, says=says, hint="change the text by hand"),))
    before, _, after = _around(text, found[0])
    new = before + after
    kept, left = read_documents(file, new)
    rest = [each.tree for each in documents if each is not found[0]]
    if [each.tree for each in kept] != rest or [each.text for each in left] != [each.text for each in unread]:
        says = "the format of the file does not allow its safe removal"
        return Edited(text=text, flaws=(Flaw(position=found[0].position, says=says, hint="change the text by hand"),))
    return Edited(text=new if kept or left else "")


def document_text(file: str, text: str, which: tuple[str, str]) -> str | None:
    """Return the lines of one document, without the `---` before it; None if there is not exactly one."""
    documents, _ = read_documents(file, text)
    found = [each for each in documents if _is(each.tree, which)]
    own = _around(text, found[0])[1].removeprefix("---").lstrip("\r\n") if len(found) == 1 else ""
    alone, unread = read_documents(file, own)
    return own if [each.tree for each in alone] == [each.tree for each in found] and not unread and own else None


def _around(text: str, document: Document) -> tuple[str, str, str]:
    """Return the text before a document, its lines from its `---` to the next one, and the text after it."""
    body = text.removeprefix("\ufeff")
    lines = _LINE.findall(body)
    plain = "".join(line.rstrip("\r\n") + "\n" for line in lines)
    starts = [0, *(plain.count("\n", 0, match.start()) for match in DOCUMENT_START.finditer(plain))]
    at = document.position.line - 1
    first = max(start for start in starts if start <= at)
    last = min((start for start in starts if start > at), default=len(lines))
    mark = text[: len(text) - len(body)]
    return mark + "".join(lines[:first]), "".join(lines[first:last]), "".join(lines[last:])


def _document(file: str, text: str, which: Which) -> Document | None:
    """Return the document without errors, None if there is none."""
    documents, _ = read_documents(file, text)
    return next((each for each in documents if not each.flaws and _is(each.tree, which)), None)


def _is(tree: Json, which: Which) -> bool:
    match tree:
        case {"kind": kind, "metadata": {"name": name}} if which is not None:
            return (kind, name) == which
        case _:
            return which is None and isinstance(tree, dict)


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
    def of(cls, text: str, which: Which, path: str) -> "_Place | str":
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
            if which is None or (kind and name and (kind.value, name.value) == which):
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
