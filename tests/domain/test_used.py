"""What requests have used, where an answer does not say it."""

import pytest

from bateau.domain.costs import Tokens
from bateau.domain.used import COUNTING, Used


@pytest.mark.parametrize("path", [*COUNTING, "/tokenize"])
def test_counting_tokens_uses_none(path: str):
    assert Used(at=0, id="a", path=path, status=200).tokens == Tokens()


def test_an_answer_without_tokens_is_unknown_and_not_zero():
    assert Used(at=0, id="a", path="/v1/chat/completions", status=200).tokens is None
    assert Used(at=0, id="a", path="/v1/chat/completions", status=400).tokens == Tokens()
