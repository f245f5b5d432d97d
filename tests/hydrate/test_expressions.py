"""Expressions in strings: they keep their types when alone, and become text beside text."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.hydrate.expressions import expand
from bateau.kit.cel import CelError

NAMES: dict[str, Any] = {
    "metadata": {"name": "shop", "labels": {"team": "blue"}},
    "spec": {"replicas": 3, "share": 0.5, "on": True, "tags": ["a", "b"]},
    "ports": {"http": "{port:http}"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${ spec.replicas }", 3),
        ("${spec.replicas * 2}", 6),
        ("  ${ spec.replicas }", "  3"),
        ("${ spec.share }", 0.5),
        ("${ spec.on }", True),
        ("${ spec.on && false }", False),
        ("${ metadata.name }", "shop"),
        ("${ spec.tags }", ["a", "b"]),
        ("${ {'a': 1} }", {"a": 1}),
        ("${ ports.http }", "{port:http}"),
    ],
)
def test_an_expression_alone_keeps_its_type(text: str, value: Any) -> None:
    found = expand(text, NAMES)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("v${ spec.replicas }", "v3"),
        ("${ metadata.name }-${ metadata.labels.team }", "shop-blue"),
        ("on=${ spec.on }", "on=true"),
        ("http://127.0.0.1:${ ports.http }/", "http://127.0.0.1:{port:http}/"),
        ("${ '}' }!", "}!"),
        ('${ "a\\"}" }!', 'a"}!'),
        ("${ {'a': {'b': 1}}.a.b }${ 2 }", "12"),
        ("no expression", "no expression"),
        ("", ""),
        ("$ {x} $x {y}", "$ {x} $x {y}"),
    ],
)
def test_beside_text_it_becomes_text(text: str, value: str) -> None:
    assert expand(text, NAMES) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$${x}", "${x}"),
        ("$${", "${"),
        ("a$${b}c", "a${b}c"),
        ("$${x}${ spec.replicas }", "${x}3"),
        ("${ spec.replicas }$${x}", "3${x}"),
        ("$${a}$${b}", "${a}${b}"),
        ("$$", "$$"),
    ],
)
def test_two_dollars_stand_for_a_plain_one(text: str, value: str) -> None:
    assert expand(text, NAMES) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${ spec.replicas", "does not close"),
        ("${ 'a } ", "does not close"),
        ("${ nobody }", "nobody"),
        ("${ spec.absent }", "absent"),
        ("${ 1 / 0 }", "zero"),
        ("${ 1 + }", ""),
        ("${ }", ""),
    ],
)
def test_what_fails_says_why_in_one_line(text: str, says: str) -> None:
    with pytest.raises(CelError) as caught:
        expand(text, NAMES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value)


@given(st.text().filter(lambda text: "${" not in text))
def test_text_without_expressions_is_left_alone(text: str) -> None:
    assert expand(text, NAMES) == text


@given(st.text(alphabet="${}a ", max_size=12))
def test_any_text_gives_a_value_or_a_reason(text: str) -> None:
    with contextlib.suppress(CelError):
        expand(text, NAMES)
