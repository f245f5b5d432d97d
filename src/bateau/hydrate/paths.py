"""Set or remove a value at a path of a tree: `spec.ports.http.port`, `spec.command[0]`, `spec.items[name=web].image`.

Called by control.explained, hydrate.manifests, hydrate.patches and hydrate.patching.

Invariant: the given tree is not changed; only the nodes on the path are copied. Held by tests/hydrate/test_paths.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from bateau.kit.json_value import ReadJson, ReadObject
from bateau.kit.position import child, item
from bateau.kit.suggest import did_you_mean, listed, suggestion

_STEP: Final = re.compile(r"\.?([^.\[\]'\"]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\[([A-Za-z_]\w*)=([^\]]+)\]")

Step = str | int | tuple[str, str]


class PathError(ValueError):
    """The path is malformed or does not exist in the tree; the text says at which step it fails."""

    def __init__(self, says: str, hint: str | None = None) -> None:
        super().__init__(says)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Edit:
    """A tree after a change of `value` at `path`, in which indexes replace selectors.

    `made` is the outermost path that did not exist before, or `path` itself.
    """

    tree: ReadJson
    path: str
    value: ReadJson = None
    made: str = ""


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


def set_at(tree: ReadJson, path: str, value: ReadJson) -> Edit:
    """Return the tree with `value` at `path`. Raises PathError.

    A mapping for an item that is selected by key gets that key, and is appended if no item has the key.

    >>> set_at({"a": [{"name": "x"}, {"name": "y"}]}, "a[name=y].v", 1)
    Edit(tree={'a': [{'name': 'x'}, {'name': 'y', 'v': 1}]}, path='a[1].v', value=1, made='a[1].v')
    >>> set_at({"a": [{"name": "x"}]}, "a[name=z]", {"v": 1}).tree
    {'a': [{'name': 'x'}, {'name': 'z', 'v': 1}]}
    """
    return _set(tree, parse_path(path), value, "")


def remove_at(tree: ReadJson, path: str) -> Edit:
    """Return the tree without the field or item at `path`. Raises PathError if there is none.

    >>> remove_at({"a": [{"name": "x"}, {"name": "y"}]}, "a[name=x]")
    Edit(tree={'a': [{'name': 'y'}]}, path='a[0]', value=None, made='')
    """
    return _removed(tree, parse_path(path), "")


def _set(tree: ReadJson, path: tuple[Step, ...], value: ReadJson, at: str) -> Edit:
    if not path:
        return Edit(value, at, value, at)
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        fields = _fields({} if tree is None else tree, step, at)
        below = _set(fields.get(step), rest, value, child(at, step))
        made = below.made if step in fields else child(at, step)
        return replace(below, tree={**fields, step: below.tree}, made=made)
    adds = isinstance(step, tuple) and not rest and isinstance(value, Mapping)
    items = _items([] if tree is None and adds else tree, at)
    if isinstance(step, tuple):
        index = _find(items, step, at)
        if not rest:
            value = _with_key(value, step, items, at)
        if index is None and not adds:
            raise _no_item(items, step, at)
        index = len(items) if index is None else index
    else:
        index = step
        if index > len(items):
            raise PathError(f"{at} has {len(items)} items, so [{index}] cannot be set")
    adds = index == len(items)
    below = _set(None if adds else items[index], rest, value, item(at, index))
    items[index : index + 1] = [below.tree]
    return replace(below, tree=items, made=item(at, index) if adds else below.made)


def _removed(tree: ReadJson, path: tuple[Step, ...], at: str) -> Edit:
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        fields = dict(_fields(tree, step, at))
        if step not in fields:
            hint = suggestion(step, fields, none="it has no fields")
            raise PathError(f"{at or 'the document'} has no `{step}` to remove", hint)
        if not rest:
            del fields[step]
            return Edit(fields, child(at, step))
        below = _removed(fields[step], rest, child(at, step))
        return replace(below, tree={**fields, step: below.tree})
    items = _items(tree, at)
    if isinstance(step, int):
        index = step
    elif (index := _find(items, step, at)) is None:
        raise _no_item(items, step, at)
    if index >= len(items):
        raise PathError(f"{at} has {len(items)} items, so [{index}] cannot be removed")
    if not rest:
        del items[index]
        return Edit(items, item(at, index))
    below = _removed(items[index], rest, item(at, index))
    items[index] = below.tree
    return replace(below, tree=items)


def _fields(tree: ReadJson, step: str, at: str) -> ReadObject:
    if not isinstance(tree, Mapping):
        raise PathError(f"{at or 'the document'} is not a mapping, so it has no `{step}`")
    return tree


def _items(tree: ReadJson, at: str) -> list[ReadJson]:
    if not isinstance(tree, list):
        raise PathError(f"{at or 'the document'} is not a list")
    return list(tree)


def _find(items: list[ReadJson], selector: tuple[str, str], at: str) -> int | None:
    """Return the index of the selected item; None if there is none. Raises PathError if there are several."""
    key, wanted = selector
    found = [index for index, each in enumerate(items) if str(_key_of(each, key)) == wanted]
    if len(found) > 1:
        hint = f"select it by index: {' or '.join(f'[{index}]' for index in found)}"
        raise PathError(f"{at} has {len(found)} items whose {key} is `{wanted}`", hint)
    return found[0] if found else None


def _key_of(each: ReadJson, key: str) -> ReadJson:
    return each.get(key) if isinstance(each, Mapping) else None


def _no_item(items: list[ReadJson], selector: tuple[str, str], at: str) -> PathError:
    key, wanted = selector
    there = [str(found) for each in items if (found := _key_of(each, key)) is not None]
    hint = did_you_mean(wanted, there) or (f"available: {listed(there)}" if there else _keys_hint(items, key))
    add = f"to add one, set [{key}={wanted}] to a mapping"
    return PathError(f"{at} has no item whose {key} is `{wanted}`", f"{hint}; {add}" if hint else add)


def _keys_hint(items: list[ReadJson], key: str) -> str | None:
    """Return a hint with the key that was probably meant; None if any item has the key, or no key is similar."""
    keys = {each for item in items if isinstance(item, Mapping) for each in item}
    return None if key in keys else did_you_mean(key, sorted(keys))


def _with_key(value: ReadJson, selector: tuple[str, str], items: list[ReadJson], at: str) -> ReadObject:
    """Return a value for an item that is selected by key, with that key added."""
    key, wanted = selector
    if not isinstance(value, Mapping):
        raise PathError(f"an item that is selected by {key} must be a mapping", "set one of its fields, or a mapping")
    fields = dict(value)
    if key in fields and str(fields[key]) != wanted:
        raise PathError(
            f"the item [{key}={wanted}] of {at} has the {key} `{fields[key]}`",
            "use the same value in both, or remove it from the mapping",
        )
    if hint := _keys_hint(items, key):
        raise PathError(f"no item of {at} has the field `{key}`", hint)
    numbers = any(isinstance(_key_of(each, key), int) for each in items) or (not items and key.lower().endswith("port"))
    own = int(wanted) if numbers and wanted.isdecimal() else wanted
    return {key: own, **fields}
