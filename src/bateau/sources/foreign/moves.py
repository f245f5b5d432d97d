"""Find the values of an object that differ between two builds of it.

Called by sources.foreign. They remove or change one input, and compare the results.

Invariant: a named list item is compared with the item of the same name at any index, so that an additional container
does not count as a change of the others. Held by tests/sources/foreign/test_moves.py.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from bateau.domain.origin import Origin
from bateau.kit.json_value import ReadJson, object_at
from bateau.kit.position import child, item

TRIALS_MAX: Final = 64
# The number of trials ends a search, so that two runs find the same; the time is for programs that hardly move.
TRIALS_S_MAX: Final = 60.0

_UNTRIED: Final = "the search ended early, so other entries or values may have set it"

# Path with the names of items instead of their indices -> path and value.
Aligned = Mapping[str, tuple[str, ReadJson]]


def untried(number: int) -> tuple[Origin, ...]:
    """Return a step for a search that left out `number` trials.

    It has no place and no number: these differ from run to run, and a plan of the same commits must not.
    """
    return (Origin("foreign", None, None, _UNTRIED),) if number else ()


def aligned(tree: ReadJson) -> Aligned:
    """Return the leaves of a tree by paths that the order of named items does not change.

    >>> aligned({"a": [{"name": "x", "b": 1}], "c": [2]})
    {'a[name=x].name': ('a[0].name', 'x'), 'a[name=x].b': ('a[0].b', 1), 'c[0]': ('c[0]', 2)}
    """
    return {name: (path, value) for name, path, value in _leaves(tree, "", "")}


def moved(before: Aligned, after: Aligned) -> set[str]:
    """Return the names of the leaves of `before` that are absent or different in `after`.

    If the number of leaves is the same, an item with a new name is compared with the item that had its index.
    """
    by_path = dict(after.values()) if len(before) == len(after) else {}
    return {
        name
        for name, (path, value) in before.items()
        if not (same(value, after[name][1]) if name in after else path in by_path and same(value, by_path[path]))
    }


def same(one: ReadJson, other: ReadJson) -> bool:
    """Whether two leaves are equal and of one type: 1 is not true."""
    return type(one) is type(other) and one == other


def _leaves(tree: ReadJson, name: str, path: str) -> Iterator[tuple[str, str, ReadJson]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _leaves(value, child(name, key), child(path, key))
    elif isinstance(tree, list) and tree:
        names = [object_at(each).get("name") for each in tree]
        by_name = all(isinstance(each, str) for each in names) and len({*map(str, names)}) == len(names)
        for index, each in enumerate(tree):
            yield from _leaves(
                each, f"{name}[name={names[index]}]" if by_name else item(name, index), item(path, index)
            )
    else:
        yield name, path, tree
