"""Locate text in a file (file, line and column), and a field in a tree (its path).

Called by api, cli, control, domain, hydrate, kit, plan, policy, render, sources, specs, ui and wiring. Knows nothing
about YAML or Bateau.

Invariant: lines and columns count from 1, as editors and compilers print them; a path has one spelling. Held by
tests/specs/test_reading.py::test_every_written_field_knows_its_place.
Refused: JSON Pointer (RFC 6901) for paths; people write `spec.scale.max`, not `/spec/scale/max`.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bateau.kit.json_value import ReadJson

_NEEDS_BRACKETS = re.compile(r"[.\[\]'\"]").search
_ITEM = re.compile(r"\[(\d+)\]$").search
_FIRST_ITEM = re.compile(r"\[(\d+)\]").match
_STEP = re.compile(r"\.?([^.\[\]'\"]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text file.

    >>> str(Position("chat.yaml", 7, 14))
    'chat.yaml:7:14'
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """An error in a text or a tree: a message, a hint with the fix, and whether it is only a warning."""

    position: Position | None
    says: str
    hint: str | None = None
    warning: bool = False


def child(path: str, key: str) -> str:
    """Return the path of the field `key` of the mapping at `path`.

    >>> child("metadata.labels", "app.kubernetes.io/name")
    "metadata.labels['app.kubernetes.io/name']"
    """
    step = _step(key)
    return path + step if path or step[0] == "[" else key


@functools.lru_cache(maxsize=16384)
def _step(key: str) -> str:
    """Return the spelling of a key after a path. Cached, because the same few keys occur again and again."""
    if not key or _NEEDS_BRACKETS(key):
        escaped = key.replace("\\", "\\\\").replace("'", "\\'")
        return f"['{escaped}']"
    return f".{key}"


def item(path: str, index: int) -> str:
    """Return the path of an item of the list at `path`.

    >>> item("spec.command", 2)
    'spec.command[2]'
    """
    return f"{path}[{index}]"


def joined(path: str, rest: str) -> str:
    """Return the path of `rest`, which is relative to the value at `path`.

    >>> joined("spec.env", "[0].name"), joined("spec", "env"), joined("spec", "")
    ('spec.env[0].name', 'spec.env', 'spec')
    """
    return path + rest if not path or not rest or rest.startswith("[") else f"{path}.{rest}"


def below(path: str, around: str) -> bool:
    """Whether a path is inside the field at another path.

    >>> below("spec.ports[0].name", "spec.ports"), below("spec.ports", "spec.ports"), below("spec.portsX", "spec.ports")
    (True, False, False)
    """
    return path.startswith((f"{around}.", f"{around}["))


def around(path: str) -> Iterator[str]:
    """Yield the paths of the fields and items around a field, the nearest first.

    >>> list(around("spec.ports['a.b'][0].name"))
    ["spec.ports['a.b'][0]", "spec.ports['a.b']", 'spec.ports', 'spec']
    """
    parts = [match.group() for match in _STEP.finditer(path)]
    for end in range(len(parts) - 1, 0, -1):
        yield "".join(parts[:end])


def shifted(path: str, removed: str) -> str:
    """Return a path after the item or field at `removed` is gone. Only the removal of a list item shifts other paths.

    >>> shifted("a[2].x", "a[1]"), shifted("a[0].x", "a[1]"), shifted("b[2]", "a[1]"), shifted("a.c", "a.b")
    ('a[1].x', 'a[0].x', 'b[2]', 'a.c')
    """
    if not (gone := _ITEM(removed)):
        return path
    holder = removed[: gone.start()]
    match = _FIRST_ITEM(path[len(holder) :]) if below(path, holder) else None
    if match is None or int(match[1]) <= int(gone[1]):
        return path
    return f"{holder}[{int(match[1]) - 1}]{path[len(holder) + match.end() :]}"


def unshifted(path: str, removed: str) -> str:
    """Return the path before the list item at `removed` was removed.

    >>> unshifted("a[1].x", "a[1]"), unshifted("a[0].x", "a[1]")
    ('a[2].x', 'a[0].x')
    """
    gone = _ITEM(removed)
    holder = removed[: gone.start()] if gone else ""
    match = _FIRST_ITEM(path[len(holder) :]) if gone and below(path, holder) else None
    if gone is None or match is None or int(match[1]) < int(gone[1]):
        return path
    return f"{holder}[{int(match[1]) + 1}]{path[len(holder) + match.end() :]}"


def leaves(value: ReadJson, path: str = "") -> Iterator[tuple[str, ReadJson]]:
    """Yield path and value of every leaf of the tree at `path`; an empty mapping or list is a leaf.

    >>> list(leaves({"a": [1, {}]}, "spec"))
    [('spec.a[0]', 1), ('spec.a[1]', {})]
    """
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from leaves(each, child(path, key))
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from leaves(each, item(path, index))
    else:
        yield path, value


def steps(path: str) -> tuple[str | int, ...]:
    """Split a path into its steps. Raises ValueError if it is malformed.

    >>> steps("metadata.labels['app.kubernetes.io/name'][0]")
    ('metadata', 'labels', 'app.kubernetes.io/name', 0)
    """
    found: list[str | int] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        dotted = path[at] == "."
        if match is None or (path[at] != "[" and dotted is (at == 0)):
            raise ValueError(f"malformed path {path!r}")
        plain, index, quoted = match.groups()
        if index is not None:
            found.append(int(index))
        else:
            found.append(plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
    return tuple(found)


def nearest(positions: Mapping[str, Position], path: str, default: Position) -> Position:
    """Return the position of `path`, or of the nearest enclosing field that is in the file."""
    while path:
        if found := positions.get(path):
            return found
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return default
