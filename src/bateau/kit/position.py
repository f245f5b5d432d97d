"""Locate text in a file (file, line and column), and a field in a tree (its path).

Called by every stage that reads or reports on texts. Knows nothing about YAML or Bateau.

Invariant: lines and columns count from 1, as editors and compilers print them; a path has one spelling.
Refused: JSON Pointer (RFC 6901) for paths; people write `spec.scale.max`, not `/spec/scale/max`.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

_NEEDS_BRACKETS = re.compile(r"[.\[\]'\"]").search
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


def below(path: str, around: str) -> bool:
    """Whether a path is inside the field at another path.

    >>> below("spec.ports[0].name", "spec.ports"), below("spec.ports", "spec.ports"), below("spec.portsX", "spec.ports")
    (True, False, False)
    """
    return path.startswith((f"{around}.", f"{around}["))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of every leaf of the tree at `path`; an empty mapping or list is a leaf.

    >>> list(leaves({"a": [1, {}]}, "spec"))
    [('spec.a[0]', 1), ('spec.a[1]', {})]
    """
    if isinstance(value, dict) and value:
        for key, each in cast("dict[str, Any]", value).items():
            yield from leaves(each, child(path, key))
    elif isinstance(value, list) and value:
        for index, each in enumerate(cast("list[Any]", value)):
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
