"""Plain values as bytes, and back."""

import math

from hypothesis import given
from hypothesis import strategies as st

from bateau.kit.packed import packed, unpacked

LEAVES = st.none() | st.booleans() | st.integers() | st.text(st.characters()) | st.binary(max_size=8)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_a_value_is_read_back_as_it_was(value: object) -> None:
    assert unpacked(packed(value)) == value
    assert math.isnan(unpacked(packed(math.nan)))


@given(VALUES, st.data())
def test_invalid_bytes_raise_nothing(value: object, data: st.DataObject) -> None:
    good = packed(value)
    unpacked(good[: data.draw(st.integers(0, len(good) - 1))])
    unpacked(data.draw(st.binary(max_size=64)))
