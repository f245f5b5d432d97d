"""YAML text becomes trees with positions, and its errors become values."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bateau.kit import yaml_tree
from bateau.kit.position import Position
from bateau.kit.yaml_tree import Dialect, plain_scalar, read_documents


def says(text: str) -> list[str]:
    documents, unread = read_documents("a.yaml", text)
    flaws = [flaw for document in documents for flaw in document.flaws] + [f for broken in unread for f in broken.flaws]
    return [f"{flaw.position}  {flaw.says}" for flaw in flaws]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (word, word)
            for word in ("y", "n", "yes", "no", "on", "off", "1_000", "2024-01-01", "1:30", "0o", "0x", "+")
        ),
        *(("true", True), ("False", False), ("~", None), ("", None), ("null", None)),
        *(("1", 1), ("-7", -7), ("017", 17), ("0o17", 15), ("0x1F", 31), ("1e3", 1000.0), (".5", 0.5)),
    ],
)
def test_plain_scalars_are_read_by_the_core_schema_of_yaml_1_2(text: str, value: object):
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\t- b", ["a.yaml:2:1  YAML does not allow a tab here"]),
        ("a: [1, 2\nb: 3", ["a.yaml:2:2  a `[` is not closed before this"]),
        ("a: 'x\nb: 1\n", ["a.yaml:1:4  the quote that opens here is not closed"]),
        ("a: @x", ["a.yaml:1:4  a value cannot begin with `@`"]),
        ("a: *", ["a.yaml:1:5  `*` must be followed by a name"]),
        ('a: "\\q"', ["a.yaml:1:5  double-quoted text has a backslash before the wrong character"]),
        ("a: 1\na: 2", ["a.yaml:2:1  the key `a` is repeated here"]),
        ("a: 1\nb: 1\na: 2\nb: 2", ["a.yaml:3:1  the keys `a`, `b` are repeated here"]),
        ("a: \0", ["a.yaml:1:4  the character U+0000 is not allowed in YAML"]),
        (b"a: M\xfcller".decode("utf-8", "surrogateescape"), ["a.yaml:1:5  the byte 0xFC is not UTF-8"]),
        ("é: \ud800", ["a.yaml:1:4  the character U+D800 is not allowed in YAML"]),
        (
            "a: [\n---\nb: [x\n",
            ["a.yaml:2:1  a `[` or `{` is not closed before this", "a.yaml:4:1  a `[` is not closed before this"],
        ),
    ],
)
def test_a_mistake_has_its_words_and_its_place(text: str, expected: list[str]):
    assert says(text) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_breaks_of_any_system_count_as_one(end: str):
    documents, unread = read_documents("a.yaml", "\ufeffa: 1\n---\nb: 2\n".replace("\n", end))
    assert [document.tree for document in documents] == [{"a": 1}, {"b": 2}]
    assert documents[1].positions["b"] == Position("a.yaml", 3, 4)
    assert unread == []


def test_a_line_of_dots_ends_a_document():
    documents, unread = read_documents("a.yaml", "a: 1\n...\nb: 2\n...\n%YAML 1.2\n---\nc: 3\n")
    assert [document.tree for document in documents] == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert unread == []


def test_a_line_of_dashes_inside_indented_text_ends_nothing():
    documents, _ = read_documents("a.yaml", "a: |\n  x\n  ---\n  y\n")
    assert [document.tree for document in documents] == [{"a": "x\n---\ny\n"}]


def test_long_keys_above_long_lists_are_refused_before_they_fill_the_memory():
    """A file of 1 MiB whose one key is 300,000 characters long once took tens of gigabytes of paths."""
    assert says("? " + "k" * 300_000 + "\n: [" + "a," * 90_000 + "]") == [
        "a.yaml:1:3  a key has more than 1,024 characters"
    ]
    deep = "".join(f"{' ' * depth}{'k' * 1000}:\n" for depth in range(40)) + " " * 40 + "[" + "a," * 90_000 + "]"
    (one,) = says(deep)
    assert one.endswith("the keys of the document are too long for so many values")


@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`?,# \n\t\r0~.<\ufeff\x85\u2028", max_size=60))
def test_the_python_parser_raises_for_no_text_either(text: str):
    """Where libyaml is missing, the Python parser takes its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_tree, "_LOADER", yaml_tree.loader_over(yaml.SafeLoader))
        documents, _ = read_documents("a.yaml", text)
    assert all(document.position.line >= 1 for document in documents)


@pytest.mark.parametrize("text", ["a: {b: [1, yes, '2']}\n---\nc: |\n  x\n", "a: &x {b: 1}\nc: {<<: *x, d: 2}\n"])
def test_both_parsers_read_the_same(text: str):
    native = read_documents("a.yaml", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_tree, "_LOADER", yaml_tree.loader_over(yaml.SafeLoader))
        assert read_documents("a.yaml", text) == native


@pytest.mark.parametrize(
    ("text", "tree", "flaws"),
    [
        ("a: !!str 5\nb: !!str on\n!!str 7: !!str\n", {"a": "5", "b": "on", "7": ""}, []),
        ("a: !!int '3'\nb: !!float 3\nc: !!bool true\nd: !!null ~\n", {"a": 3, "b": 3, "c": True, "d": None}, []),
        ("a: !!map {b: !!seq [c]}\n", {"a": {"b": ["c"]}}, []),
        ("a: !!int x\n", {"a": "x"}, ["f:1:4 `x` is not a value of the tag `!!int`"]),
        ("a: !!binary aGk=\nb: !x y\n", {"a": "aGk=", "b": "y"}, ["f:1:4 the tag `!!binary` is not known",
                                                                   "f:2:4 the tag `!x` is not known"]),
    ],
)  # fmt: skip
def test_a_tag_decides_the_type_of_its_value(text: str, tree: object, flaws: list[str]):
    """F30: `!!str 5` is text."""
    (document,), _ = read_documents("f", text)
    assert document.tree == tree
    assert [f"{flaw.position} {flaw.says}" for flaw in document.flaws] == flaws


def test_objects_of_json_may_follow_each_other():
    """F30: kubectl reads one JSON object after another; lines and columns stay those of the file."""
    text = '{"a": 1}\n{\n\t"b": ["\\ud83d\\ude00", "\\/"]} {"c": 2}\n'
    documents, unread = read_documents("f", text)
    assert unread == []
    assert [each.tree for each in documents] == [{"a": 1}, {"b": ["\U0001f600", "/"]}, {"c": 2}]
    assert [str(each.position) for each in documents] == ["f:1:1", "f:2:1", "f:3:31"]
    assert str(documents[1].positions["b[0]"]) == "f:3:8"


@pytest.mark.parametrize("text", ["{a: 1}\n", '{"a": 1}\n---\n{"a": 1}\n', "# x\n{a: 1}\n"])
def test_flow_mappings_that_are_not_a_row_of_json_are_yaml(text: str):
    documents, unread = read_documents("f", text)
    assert unread == []
    assert {str(each.tree) for each in documents} == {"{'a': 1}"}


def test_a_dialect_may_take_the_last_of_equal_keys_and_names_them():
    """F30: Helm and kubectl take the last one."""
    last = Dialect(value=plain_scalar, key=plain_scalar, last_wins=True)
    (document,), _ = read_documents("f", "a: {x: {y: 1}, x: 2}\nb: 1\nb: [3]\n", dialect=last)
    assert document.tree == {"a": {"x": 2}, "b": [3]}
    assert document.flaws == []
    assert document.repeated == {"a.x": Position("f", 1, 16), "b": Position("f", 3, 1)}
    assert "a.x.y" not in document.positions


def test_a_depth_that_the_parser_itself_refuses_is_named_as_any_other() -> None:
    """The hint was `while increasing flow level`."""
    _, (unread,) = read_documents("a.yaml", "a: " + "[" * 50_000)
    assert [(flaw.says, flaw.hint) for flaw in unread.flaws] == [("the document is nested more than 64 deep", None)]
