"""The values of JSON, and of YAML once it is read: what documents, manifests and messages are made of.

Used by every package that builds or walks such a tree. A reader narrows a value with `isinstance`, or with these
functions where it wants the empty tree instead of an error.

Refused: `Any` for trees. It switches the type checker off for everything that is taken out of the tree.
"""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Final, TypeAlias, TypeGuard

Scalar: TypeAlias = str | int | float | bool | None
Json: TypeAlias = dict[str, "Json"] | list["Json"] | Scalar
JsonObject: TypeAlias = dict[str, Json]

# What a reader may rely on: a tree that it does not change, whose parts may be of any kind.
ReadJson: TypeAlias = Mapping[str, "ReadJson"] | Sequence["ReadJson"] | Scalar
ReadObject: TypeAlias = Mapping[str, ReadJson]

# For isinstance: a value that has no parts. Asking for this first is several times faster than asking for a Mapping.
SCALARS: Final = (str, int, float, NoneType)


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Return whether this is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Json]]:
    """Return whether this is a JSON array."""
    return isinstance(value, list)


def object_at(tree: object, *path: str) -> JsonObject:
    """Return the object below these keys, or an empty one if there is none. The tree is not changed."""
    for key in path:
        tree = tree.get(key) if is_object(tree) else None
    return tree if is_object(tree) else {}


def array_at(tree: object, *path: str) -> list[Json]:
    """Return the array below these keys, or an empty one if there is none."""
    found = object_at(tree, *path[:-1]).get(path[-1]) if path else tree
    return found if is_array(found) else []


def part_at(tree: ReadJson, step: str | int) -> ReadJson:
    """Return the part of a tree at one step of a path, or None if there is none.

    >>> part_at({"a": [1, 2]}, "a"), part_at([1, 2], 1), part_at([1, 2], "a")
    ([1, 2], 2, None)
    """
    if isinstance(step, str):
        return tree.get(step) if isinstance(tree, Mapping) else None
    return tree[step] if isinstance(tree, list) and step < len(tree) else None


def texts_at(tree: object, *path: str) -> list[str]:
    """Return the texts in the array below these keys; none if there is no such array."""
    return [each for each in array_at(tree, *path) if isinstance(each, str)]


def named_texts_at(tree: object, *path: str) -> dict[str, str]:
    """Return the texts in the object below these keys, by key; none if there is no such object."""
    return {key: each for key, each in object_at(tree, *path).items() if isinstance(each, str)}


def text_at(tree: object, *path: str) -> str:
    """Return the text below these keys, or "" if there is none, or if it is something else."""
    found = object_at(tree, *path[:-1]).get(path[-1])
    return found if isinstance(found, str) else ""
