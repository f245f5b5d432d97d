"""Set a value at a path of a tree: `spec.ports.http.port`, `spec.command[0]`, `spec.items[name=web].image`.

Called by hydrate.services, hydrate.manifests and hydrate.patches.

Invariant: the given tree is not changed; only the nodes on the path are copied.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from bateau.kit.position import child, item

_STEP: Final = re.compile(r"\.?([^.\[\]'\"]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\[([A-Za-z_]\w*)=([^\]]+)\]")

Step = str | int | tuple[str, str]


class PathError(ValueError):
    """The path is malformed or does not exist in the tree; the text says at which step it fails."""


def parse_path(text: str) -> tuple[Step, ...]:
    """Split a path into its steps; `[name=web]` becomes ("name", "web"). Raises PathError.

    >>> parse_path("spec.items[name=web].image")
    ('spec', 'items', ('name', 'web'), 'image')
    """
    found: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise PathError(f"the path `{text}` is malformed at `{text[at:]}`")
        plain, index, quoted, key, value = match.groups()
        if index is not None:
            found.append(int(index))
        elif key is not None:
            found.append((key, value))
        else:
            found.append(plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
    return tuple(found)


def set_at(tree: Any, path: str, value: Any) -> tuple[Any, str]:
    """Return the tree with `value` at `path`, and the path with selectors replaced by indexes. Raises PathError.

    >>> set_at({"a": [{"name": "x"}, {"name": "y"}]}, "a[name=y].v", 1)
    ({'a': [{'name': 'x'}, {'name': 'y', 'v': 1}]}, 'a[1].v')
    """
    return _set(tree, parse_path(path), value, "")


def _set(tree: Any, path: tuple[Step, ...], value: Any, at: str) -> tuple[Any, str]:
    if not path:
        return value, at
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        if tree is None:
            tree = {}
        if not isinstance(tree, Mapping):
            raise PathError(f"{at or 'the document'} is not a mapping, so it has no `{step}`")
        mapping = cast("Mapping[str, Any]", tree)
        below, where = _set(mapping.get(step), rest, value, child(at, step))
        return {**mapping, step: below}, where
    if not isinstance(tree, list):
        raise PathError(f"{at or 'the document'} is not a list")
    items = list(cast("list[Any]", tree))
    index = step if isinstance(step, int) else _find(items, step, at)
    if index > len(items):
        raise PathError(f"{at} has {len(items)} items, so [{index}] cannot be set")
    current = items[index] if index < len(items) else None
    below, where = _set(current, rest, value, item(at, index))
    items[index : index + 1] = [below]
    return items, where


def _find(items: list[Any], selector: tuple[str, str], at: str) -> int:
    key, wanted = selector
    for index, each in enumerate(items):
        if isinstance(each, Mapping) and str(cast("Mapping[str, Any]", each).get(key)) == wanted:
            return index
    raise PathError(f"{at} has no item whose {key} is `{wanted}`")
