"""The fields of a schema class, and their types in the terms of YAML.

Called by hydrate.defaults, hydrate.patching, kit.schema, kit.schema_docs, kit.schema_structural and specs.ambiguity.
Knows nothing of Bateau.

Invariant: a field has one name in YAML, and an annotation one shape. Held by tests/kit/test_schema.py.
"""

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

Example = str | float | tuple[str, ...]
DESCRIBED: Final = "described"  # the key of a field's `Described` in the metadata of its dataclass


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The arguments of `described`."""

    doc: str = ""
    pattern: str | None = None
    pattern_says: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    examples: tuple[Example, ...] = ()
    unsupported: str | None = None
    form: Callable[[str], tuple[str, str] | None] | None = None
    concealed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One declared field: `name` in YAML, `attribute` in Python."""

    name: str
    attribute: str
    shape: "Shape"
    required: bool
    default: object
    meta: Described


@functools.cache
def fields_of(cls: type) -> Mapping[str, Field]:
    """Return the fields of a schema class by their name in YAML."""
    hints = get_type_hints(cls, include_extras=True)
    found: dict[str, Field] = {}
    for each in dataclasses.fields(cls):
        name = _camel(each.name)
        required = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        default = None if each.default is dataclasses.MISSING else each.default
        if each.default_factory is not dataclasses.MISSING:
            default = each.default_factory()
        found[name] = Field(
            name=name,
            attribute=each.name,
            shape=shape_of(hints[each.name]),
            required=required,
            default=default,
            meta=each.metadata[DESCRIBED],
        )
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """A type in the terms of YAML. `inner` is the class, the shape of the elements, the enum values or the unit."""

    of: Literal["object", "list", "map", "enum", "quantity", "string", "integer", "number", "boolean", "any"]
    inner: Any = None
    nullable: bool = False


@functools.cache
def shape_of(annotation: object) -> Shape:
    """Return the shape of a type annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        inner = [each for each in arguments if each is not type(None)]
        return dataclasses.replace(shape_of(inner[0]), nullable=True) if len(inner) == 1 else Shape("any")
    if origin is Annotated:
        return Shape("quantity", arguments[1])
    if origin is Literal:
        return Shape("enum", arguments)
    if origin is tuple:
        return Shape("list", shape_of(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Shape("map", shape_of(arguments[1]))
    if dataclasses.is_dataclass(annotation):
        return Shape("object", annotation)
    plain: dict[object, Literal["string", "integer", "number", "boolean"]] = {
        str: "string",
        int: "integer",
        float: "number",
        bool: "boolean",
    }
    return Shape(plain[annotation]) if annotation in plain else Shape("any")


def shape_at(cls: type, steps: Sequence[object]) -> Shape | None:
    """Return the shape of a path below a schema class; None if the schema has no such path.

    Every path below an "any" has the shape "any". In a list or a map, any step leads to an element.
    """
    shape = Shape("object", cls)
    for step in steps:
        if shape.of == "object":
            declared = fields_of(shape.inner).get(str(step))
            if declared is None:
                return None
            shape = declared.shape
        elif shape.of in ("map", "list"):
            shape = shape.inner
        elif shape.of != "any":
            return None
    return shape


def in_words(shape: Shape) -> str:
    """Describe a type in a message.

    >>> in_words(Shape("quantity", "bytes")), in_words(shape_of(int))
    ('a size such as `2Gi`', 'a whole number')
    """
    if shape.of == "quantity":
        examples = {"bytes": "a size such as `2Gi`", "cores": "cores such as `500m` or `2`"}
        return examples.get(shape.inner, "a duration such as `30s`")
    if shape.of == "enum":
        return "one of " + " | ".join(map(str, shape.inner))
    words = {"object": "a mapping", "list": "a list", "map": "a mapping", "string": "a string"}
    words |= {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
    return words.get(shape.of, "any value")


def _camel(name: str) -> str:
    first, *rest = name.rstrip("_").split("_")  # `from_` is written `from`
    return first + "".join(word.capitalize() for word in rest)
