"""Values that were read from the environment are removed from texts and trees."""

from bateau.kit.concealed import CHARACTERS_MIN, holds, tree_without, without


def test_a_value_is_removed_from_texts_and_trees() -> None:
    assert without("is hunter2", {"hunter2"}, "X") == "is X"
    assert tree_without({"a": ["hunter2 and more", 7]}, {"hunter2"}, "X") == {"a": ["X", 7]}


def test_a_short_value_is_kept() -> None:
    short = "x" * (CHARACTERS_MIN - 1)
    assert without(f"is {short}", {short}) == f"is {short}"
    assert not holds(f"is {short}", {short})
    assert holds(f"is {short}x", {f"{short}x"})


def test_the_form_that_a_message_truncates_is_removed() -> None:
    long = "k" * 50 + "0123456789"
    assert "kkk" not in without(f"expected a number, not {long[:57]}...", {long})
