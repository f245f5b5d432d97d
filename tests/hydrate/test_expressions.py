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
        ("${ spec.replicas", "is not closed"),
        ("${ 'a } ", "a string in it opens with ' and is not closed"),
        ("${ spec.replicas // } ", "its brace is in a comment"),
        ("${ env(spec.on ? 'A' : 'B') }", "env() takes the name of a variable in quotes"),
        ("${ env('A', 'B') }", "env"),
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


@pytest.mark.parametrize("value", ["\U0001f6f6", "a\"b'c\\d\n\t\x01${ 1 }}", "x" * 10_000, ""])
def test_a_variable_may_hold_anything(value: str) -> None:
    assert expand("${ env('A_B') }", NAMES, variables={"A_B": value}) == value
    assert expand("<${ env('A_B') + '>' }", NAMES, variables={"A_B": value}) == f"<{value}>"


def test_a_variable_that_is_not_utf8_is_named() -> None:
    with pytest.raises(CelError, match=r"env\('KEY'\) is not UTF-8"):
        expand("${ env('KEY') }", NAMES, variables={"KEY": b"\xff".decode("utf-8", "surrogateescape")})


@pytest.mark.parametrize(
    ("text", "kind"), [("x${ null }", "null"), ("x${ [1] }", "a list"), ("x${ {'a': 1} }", "a map")]
)
def test_what_has_no_form_within_text_is_refused(text: str, kind: str) -> None:
    with pytest.raises(CelError, match=f"with text around it gives {kind}"):
        expand(text, NAMES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${ \"call env('A')\" }", "call env('A')"),
        ("${ \"env('A') is \" + env('A') }", "env('A') is a"),
        ("${ '😀' + env( // env('B')\n 'A') + r'\\d' + env(\"A\") }", "😀a\\da"),
        ("${ ['A'].map(x, env('A') + x)[0] }", "aA"),
        ("${ {'env': 1}.env }", 1),
        ("${ metadata.labels.optMap(m, env('A')).orValue('') }", None),
    ],
)
def test_env_is_read_where_it_is_called_and_nowhere_else(text: str, value: Any) -> None:
    """Issue 8, part 1, item 14: a call inside a string literal is text."""
    if value is None:
        with pytest.raises(CelError):
            expand(text, NAMES, variables={"A": "a"})
    else:
        assert expand(text, NAMES, variables={"A": "a"}) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${ '''it's } ''' }!", "it's } !"),
        ("${ r'\\d}' }!", "\\d}!"),
        ("${ 1 // don't } count\n + 1 }!", "2!"),
        ("${ 'http://x/}' }!", "http://x/}!"),
        ("${ br'}' == b'}' }!", "true!"),
        ("${ {'a': '${ b }'}['a'] }!", "${ b }!"),
    ],
)
def test_a_brace_closes_an_expression_only_where_cel_ends(text: str, value: str) -> None:
    assert expand(text, NAMES) == value
