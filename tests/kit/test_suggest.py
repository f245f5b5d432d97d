"""The word that was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.kit.suggest import closest, did_you_mean

FIELDS = ("source", "engine", "replicas", "contextLength", "resources", "rollout", "env", "drainTimeout")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("sourc", "source"),
        ("replcias", "replicas"),
        ("Replicas", "replicas"),
        ("context_length", "contextLength"),
        ("context-length", "contextLength"),
        ("drain_timeout", "drainTimeout"),
        ("envs", "env"),
        ("banana", None),
        ("", None),
        ("x" * 5000, None),
    ],
)
def test_what_is_near_is_found_and_nothing_else(word: str, meant: str | None):
    assert closest(word, FIELDS) == meant


def test_the_hint_names_the_word():
    assert did_you_mean("engin", FIELDS) == "did you mean `engine`?"
    assert did_you_mean("banana", FIELDS) is None


@given(
    st.text(max_size=12),
    st.lists(st.text(max_size=12), max_size=8).flatmap(lambda w: st.tuples(st.just(w), st.permutations(w))),
)
def test_the_order_of_candidates_does_not_matter(word: str, orders: tuple[list[str], list[str]]):
    assert closest(word, orders[0]) == closest(word, orders[1])


@given(st.text(alphabet="abc", min_size=4, max_size=12), st.data())
def test_one_swap_of_neighbours_is_forgiven(word: str, data: st.DataObject):
    at = data.draw(st.integers(0, len(word) - 2))
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    assert closest(swapped, [word]) == word
