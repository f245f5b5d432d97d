"""The expressions in a text."""

from hypothesis import given
from hypothesis import strategies as st

from bateau.kit.cel_library import CelError
from bateau.kit.cel_text import OPEN, parts

TEXTS = st.lists(st.sampled_from(["a", "$", "$${", "${ x }", "${'}'}", "{", "}", " ", "é"]), max_size=8).map("".join)


@given(TEXTS)
def test_the_parts_joined_again_are_the_text(text: str) -> None:
    try:
        found = parts(text)
    except CelError:
        return
    position = 0
    for part in found:
        before = text[position : part.at]
        if part.is_expression:
            assert before.strip() == OPEN
            assert text.startswith(part.text, part.at)
            position = text.index("}", part.at + len(part.text)) + 1
        else:
            assert before == ""
            written = f"${OPEN}" if part.text == OPEN else part.text
            assert text.startswith(written, part.at)
            position = part.at + len(written)
    assert position == len(text)
