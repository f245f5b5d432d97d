"""The generic schema, with a schema that knows nothing of Bateau."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from bateau.kit.json_value import object_at
from bateau.kit.position import Position
from bateau.kit.schema import Bytes, Checker, Seconds, build, described
from bateau.kit.schema_docs import field_page, object_schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lid:
    """A lid."""

    colour: Literal["red", "green"] = described("Its colour.", default="red")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Box:
    """A box."""

    max_size: Bytes = described("How large.", examples=("2Gi",))
    names: tuple[str, ...] = described("Its names.", default=())
    lids: Mapping[str, Lid] = described("Its lids.", default_factory=dict)
    timeout: Seconds | None = described("How long.", default=None, minimum=1)
    lid: Lid = described("Its lid.", default_factory=Lid)


def says(tree: Any) -> list[str]:
    checker = Checker(value_at=lambda _: Position("f", 1, 1), key_at=lambda _: Position("f", 1, 1))
    checker.check(tree, Box, "spec")
    return [flaw.says for flaw in checker.flaws]


def test_defaults_are_filled_and_units_converted():
    box = build({"maxSize": "2Ki", "lids": {"a": {"colour": "green"}}, "names": ["x"], "timeout": "1m"}, Box)
    assert box == Box(max_size=2048, names=("x",), lids={"a": Lid(colour="green")}, timeout=60.0, lid=Lid())


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, ["spec.maxSize is missing"]),
        ({"maxSize": 1, "lids": {"a": {"color": "red"}}}, ["unknown field `color` in spec.lids.a"]),
        ({"maxSize": 1, "names": ["a", 2]}, ["spec.names[1] is 2; expected a string"]),
        ({"maxSize": 1, "timeout": "0s"}, ["spec.timeout is 0s, less than 1s"]),
        ({"maxSize": 1, "timeout": None}, []),
        ({"maxSize": 1, "lid": None}, ["spec.lid is empty"]),
        ({"maxSize": "${ 1 }"}, []),
        ([], ["spec is a list; expected a mapping"]),
        (
            {"maxSize": "2GB", "names": "a", "lid": {"colour": "gren"}},
            [
                'spec.maxSize is "2GB", which is not a size',
                'spec.names is "a"; expected a list',
                'spec.lid.colour is "gren", which is not known',
            ],
        ),
    ],
)
def test_all_mistakes_are_found(tree: Any, expected: list[str]):
    assert says(tree) == expected


def test_a_field_has_a_page_with_its_default_as_it_is_written():
    page = field_page(Box, "lids.a.colour", root="Box")
    assert (page.path, page.default, page.type) == ("Box.lids.a.colour", "red", "one of red | green")
    with pytest.raises(LookupError, match="did you mean `colour`"):
        field_page(Box, "lid.color", root="Box")


def test_the_json_schema_forbids_what_is_not_declared():
    schema = object_schema(Box)
    assert schema["required"] == ["maxSize"]
    assert schema["additionalProperties"] is False
    assert object_at(schema, "properties", "lids", "additionalProperties", "properties", "colour")["default"] == "red"
