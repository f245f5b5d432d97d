"""Generate documentation from a schema: JSON Schema for editors, and the page of one field.

Called by api.openapi, cli.field_page, hydrate.defaults, kit.schema_structural and specs.documentation.
Source: JSON Schema 2020-12.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import cast

from bateau.kit.json_value import JsonObject
from bateau.kit.position import steps
from bateau.kit.schema import FORMATTERS
from bateau.kit.schema_field import Described, Field, Shape, fields_of, in_words
from bateau.kit.suggest import suggestion

# An expression can replace any scalar; its value is checked when it is evaluated.
_EXPRESSION: JsonObject = {"type": "string", "pattern": "\\$\\{"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FieldPage:
    """The documentation of one field. `default` is as written in YAML, None if the field has none."""

    path: str
    type: str
    required: bool
    default: str | None
    doc: str
    examples: tuple[str, ...]
    unsupported: str | None
    fields: tuple["FieldPage", ...] = ()


def object_schema(cls: type) -> JsonObject:
    """Return the JSON Schema of a schema class."""
    fields = fields_of(cls)
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or ""),
        "properties": {name: _field_schema(declared) for name, declared in fields.items()},
        "required": [name for name, declared in fields.items() if declared.required],
        "additionalProperties": False,
    }


def field_page(cls: type, path: str, *, root: str) -> FieldPage:
    """Return the page of the field at `path` ("spec.scale.max" with its root kind named `root`).

    Raises LookupError, with a hint, if the field does not exist.
    """
    at = root
    page = FieldPage(
        path=root,
        type="a mapping",
        required=True,
        default=None,
        doc=inspect.cleandoc(cls.__doc__ or ""),
        examples=(),
        unsupported=None,
    )
    shape = Shape("object", cls)
    for step in steps(path):
        if shape.of in ("list", "map"):
            shape = shape.inner
            at = f"{at}[]" if isinstance(step, int) else f"{at}.{step}"
            page = dataclasses.replace(page, path=at, type=in_words(shape), required=False, default=None)
            continue
        fields: Mapping[str, Field] = fields_of(shape.inner) if shape.of == "object" else {}
        declared = fields.get(str(step))
        if declared is None:
            hint = suggestion(str(step), fields, none="it has no fields")
            raise LookupError(f"{at} has no field `{step}`: {hint}")
        at, shape = f"{at}.{step}", declared.shape
        page = _page(declared, at)
    return dataclasses.replace(page, fields=_children(shape, at))


def written(value: object, shape: Shape) -> str | None:
    """Return a value in its YAML form, None for an empty one.

    >>> from bateau.kit.schema import Seconds
    >>> from bateau.kit.schema_field import shape_of
    >>> written(600.0, shape_of(Seconds)), written((), shape_of(tuple[str, ...])), written(True, shape_of(bool))
    ('10m', None, 'true')
    >>> written(("a", "b"), shape_of(tuple[str, ...]))
    '[a, b]'
    """
    if value is None or value in ((), {}, "") or dataclasses.is_dataclass(value):
        return None
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, cast('tuple[object, ...]', value)))}]"
    if shape.of == "quantity" and isinstance(value, int | float):
        return FORMATTERS[shape.inner](value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _children(shape: Shape, at: str) -> tuple[FieldPage, ...]:
    while shape.of in ("list", "map"):
        at = f"{at}[]" if shape.of == "list" else f"{at}.NAME"
        shape = shape.inner
    if shape.of != "object":
        return ()
    return tuple(_page(declared, f"{at}.{name}") for name, declared in fields_of(shape.inner).items())


def _page(declared: Field, path: str) -> FieldPage:
    shape = declared.shape
    kind = in_words(shape)
    if shape.of in ("list", "map"):
        kind += f" of {in_words(shape.inner)}"
    return FieldPage(
        path=path,
        type=kind,
        required=declared.required,
        default=None if declared.required else written(declared.default, shape),
        doc=declared.meta.doc,
        examples=tuple(str(list(e)) if isinstance(e, tuple) else str(e) for e in declared.meta.examples),
        unsupported=declared.meta.unsupported,
    )


def _field_schema(declared: Field) -> JsonObject:
    shape = declared.shape
    schema = _shape_schema(shape, declared.meta)
    text = declared.meta.doc
    if declared.meta.unsupported:
        text += f" This field {declared.meta.unsupported}."
    schema["description"] = text
    default = None if declared.required else written(declared.default, shape)
    plain = shape.of in ("integer", "number", "boolean")
    if default is not None:
        schema["default"] = declared.default if isinstance(declared.default, int | float) and plain else default
    if declared.meta.examples:
        schema["examples"] = [list(e) if isinstance(e, tuple) else e for e in declared.meta.examples]
    return schema


def _shape_schema(shape: Shape, meta: Described) -> JsonObject:
    if shape.of == "object":
        return object_schema(shape.inner)
    if shape.of == "list":
        return {"type": "array", "items": _shape_schema(shape.inner, Described())}
    if shape.of == "map":
        return {"type": "object", "additionalProperties": _shape_schema(shape.inner, Described())}
    if shape.of == "any":
        return {}
    if shape.of == "enum":
        return {"anyOf": [{"enum": list(shape.inner)}, _EXPRESSION]}
    if shape.of == "quantity":
        return {"type": ["string", "number"]}
    plain: JsonObject = {"type": shape.of}
    if meta.pattern:
        plain["pattern"] = f"^(?:{meta.pattern})$"
    if meta.minimum is not None:
        plain["minimum"] = meta.minimum
    if meta.maximum is not None:
        plain["maximum"] = meta.maximum
    either: JsonObject = {"anyOf": [plain, _EXPRESSION]}
    return plain if plain == {"type": "string"} else either
