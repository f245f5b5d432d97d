"""What a schema rejects, as a sentence with the path that it is about.

Called by render.validation.

Invariant: a sentence about a Secret shows fields, types and what the schema allows, and never a value. Held by
tests/render/test_validation.py::test_an_error_in_a_secret_names_the_field_and_hides_the_value.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import jsonschema_rs

from bateau.kit.json_value import ReadJson, array_at, object_at
from bateau.kit.position import child, item
from bateau.kit.suggest import did_you_mean, listed
from bateau.render.schemas import Checker

_Kind = jsonschema_rs.ValidationErrorKind
_VALUE_CHARACTERS_MAX: Final = 60
_MESSAGE_CHARACTERS_MAX: Final = 200
_TYPES: Final = {
    "array": "a list", "boolean": "a boolean", "integer": "an integer", "null": "null", "number": "a number",
    "object": "a mapping", "string": "a string",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rejection:
    """One error. `path` is the field it is about, `value` what it holds; `of_key`: its name is wrong, not its value."""

    path: str
    says: str
    value: object
    of_key: bool = False


def rejections(tree: ReadJson, checker: Checker, *, secret: bool) -> Iterator[Rejection]:
    """Yield everything in a manifest that its schema rejects. `secret`: no value is shown."""
    for error in checker.errors(tree):
        path = _path(error.instance_path)
        kind = error.kind
        if isinstance(kind, _Kind.AdditionalProperties):
            known = checker.fields_at(error.schema_path)
            fields = object_at(error.instance)
            yield from (_unknown(child(path, name), name, fields[name], known) for name in kind.unexpected)
        else:
            yield Rejection(path, _says(path, error, secret=secret), error.instance)


def _unknown(path: str, name: str, value: object, known: list[str]) -> Rejection:
    hint = did_you_mean(name, known)
    return Rejection(path, f"unknown field `{path}`{f'; {hint}' if hint else ''}", value, of_key=True)


def _says(path: str, error: jsonschema_rs.ValidationError, *, secret: bool) -> str:
    kind, value = error.kind, error.instance
    what = f"`{path}`" if path else "the object"
    if isinstance(kind, _Kind.Required):
        return f"`{child(path, kind.property)}` is required"
    if isinstance(kind, _Kind.Not) and value is None:
        return f"{what} must not be null"
    if isinstance(kind, _Kind.Type):
        allowed = " or ".join(_TYPES[each] for each in kind.types if each != "null")
        return f"{what} must be {allowed}, but is {_shown(value, secret=secret)}"
    if isinstance(kind, _Kind.Enum):
        allowed = listed(json.dumps(each, ensure_ascii=False) for each in array_at(kind.options))
        return f"{what} must be one of {allowed}, but is {_shown(value, secret=secret)}"
    if secret:
        return f"{what} does not match `{kind.name}` of the schema"
    return f"{what}: {error.message[:_MESSAGE_CHARACTERS_MAX]}"


def _shown(value: object, *, secret: bool) -> str:
    """Return a value's type, and the value where it is short and no secret."""
    if value is None:
        return "null"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    kind = next(name for sort, name in _SCALARS if isinstance(value, sort))
    text = json.dumps(value, ensure_ascii=False)
    return kind if secret or len(text) > _VALUE_CHARACTERS_MAX else f"the {kind.partition(' ')[2]} {text}"


# bool first: to Python, True is an integer.
_SCALARS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "a boolean"), (int, "an integer"), (float, "a number"), (str, "a string"), (object, "another type")
)  # fmt: skip


def _path(steps: Iterable[str | int]) -> str:
    path = ""
    for step in steps:
        path = item(path, step) if isinstance(step, int) else child(path, step)
    return path
