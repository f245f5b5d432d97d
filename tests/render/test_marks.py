"""Values that know their origin, and trees of them."""

from typing import Any

import pytest

from bateau.render.marks import From, Rule, plain


def test_a_tree_without_its_marks_is_plain() -> None:
    tree: dict[str, Any] = {"a": From(1, "spec.a"), "b": [Rule("x", "a rule")], "c": {}, "d": []}
    assert plain(tree) == {"a": 1, "b": ["x"], "c": {}, "d": []}


@pytest.mark.parametrize("tree", [{"a": 1}, [From(1, "spec.a"), "x"], {"a": {"b": None}}, (1,)])
def test_a_leaf_without_a_mark_is_refused(tree: Any) -> None:
    with pytest.raises(TypeError, match="a leaf without an origin"):
        plain(tree)
