"""Setting and removing values at paths."""

import copy
from typing import Any

import pytest

from bateau.hydrate.paths import PathError, remove_at, set_at
from bateau.kit.json_value import array_at, object_at

TREE: dict[str, Any] = {"a": [{"name": "x", "v": {"w": 1}}, {"name": "y"}], "b": {"c": {}}}


@pytest.mark.parametrize("path", ["a", "a[0]", "a[name=x].v.w", "a[name=z]", "b.c.d", "new.deep", "a[7]", "a.b"])
def test_the_given_tree_is_not_changed(path: str) -> None:
    tree = copy.deepcopy(TREE)
    for edit in (lambda: set_at(tree, path, {"n": 1}), lambda: remove_at(tree, path)):
        try:
            found = edit().tree
        except PathError:
            continue
        assert found != TREE
    assert tree == TREE


def test_only_the_nodes_on_the_path_are_copied() -> None:
    found = object_at(set_at(TREE, "a[name=x].v.w", 2).tree)
    assert found["b"] is TREE["b"]
    assert array_at(found, "a")[1] is TREE["a"][1]
    assert array_at(found, "a")[0] is not TREE["a"][0]
