"""Generate the structural schema of a CustomResourceDefinition from a schema class.

Called by specs.crds. Knows nothing of Bateau.
Source: kubernetes.io, "Extend the Kubernetes API with CustomResourceDefinitions" (structural schemas, CEL rules).

Invariant: every text form is a `pattern`, which all tools check, and a CEL rule, whose message people can read. Held by
tests/cluster/test_crds.py.
Refused: `anyOf` with a pattern of expressions, as in the JSON Schema for editors. In a cluster, no expression is
evaluated.
"""

import inspect
import json
from collections.abc import Mapping
from typing import Final, cast

from bateau.kit.json_value import Json, JsonObject, is_array
from bateau.kit.schema import FORMATTERS
from bateau.kit.schema_docs import written
from bateau.kit.schema_field import Described, Field, Shape, fields_of, in_words

# By path: keywords for the schema at this path. Validations are added to those that are generated.
Extras = Mapping[str, JsonObject]

VALIDATIONS: Final = "x-kubernetes-validations"
_FREE: Final = "x-kubernetes-preserve-unknown-fields"
_NUMBER: Final = "[+]?([0-9]{1,40}([.][0-9]{0,40})?|[.][0-9]{1,40})"
_DURATION_PART: Final = "([0-9]{1,20}([.][0-9]{0,20})?|[.][0-9]{1,20})(h|ms|us|\u00b5s|ns|m|s)"
_TEXTS: Final = {
    "bytes": f"^{_NUMBER}([eE][-+]?[0-9]{{1,2}}|[kMGTPE]|[KMGTPE]i)?$",
    "cores": f"^{_NUMBER}([eE][-+]?[0-9]{{1,2}}|[mun])?$",
    "seconds": f"^(0|({_DURATION_PART})+)$",
}
_INT32_MAX: Final = 2**31 - 1


def structural_schema(cls: type, extras: Extras, *, at: str) -> JsonObject:
    """Return the structural schema of a schema class whose path in the document is `at`."""
    fields = fields_of(cls)
    schema: JsonObject = {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or ""),
        "properties": {name: _field(declared, extras, f"{at}.{name}") for name, declared in fields.items()},
    }
    if required := [name for name, declared in fields.items() if declared.required]:
        schema["required"] = [*required]
    return _with(schema, extras.get(at, {}))


def _field(declared: Field, extras: Extras, at: str) -> JsonObject:
    shape = declared.shape
    text = declared.meta.doc
    if declared.meta.unsupported:
        text += f" This field {declared.meta.unsupported}."
    default = None if declared.required else written(declared.default, shape)
    if default is not None:
        text += f" Default: {default}."  # `kubectl explain` shows the description only
    schema: JsonObject = {**_schema(shape, declared.meta, extras, at), "description": text}
    if default is not None:
        plain = shape.of in ("integer", "number", "boolean")
        schema["default"] = declared.default if plain and isinstance(declared.default, int | float) else default
        if shape.of == "list":
            schema["default"] = [*cast("tuple[Json, ...]", declared.default)]
    elif shape.of == "object" and not shape.nullable and _has_defaults(shape.inner):
        schema["default"] = {}  # the server then fills the fields in it, as hydration does
    return schema


def _has_defaults(cls: type) -> bool:
    return any(
        not declared.required and written(declared.default, declared.shape) is not None
        for declared in fields_of(cls).values()
    )


def _schema(shape: Shape, meta: Described, extras: Extras, at: str) -> JsonObject:
    extra = extras.get(at, {})
    if shape.of == "object":
        return structural_schema(shape.inner, extras, at=at)
    if shape.of == "any":
        return {_FREE: True}
    if shape.of == "list":
        items = _schema(shape.inner, Described(), extras, f"{at}[]")
        return _with({"type": "array", "items": items}, extra)
    if shape.of == "map":
        if shape.inner.of == "any":
            return _with({"type": "object", _FREE: True}, extra)
        values = _schema(shape.inner, Described(), extras, f"{at}.*")
        return _with({"type": "object", "additionalProperties": values}, extra)
    if shape.of == "enum":
        return _with({"type": "string", "enum": list(shape.inner)}, extra)
    if shape.of == "quantity":
        return _with(_quantity(shape, meta), extra)
    return _with(_scalar(shape, meta), extra)


def _scalar(shape: Shape, meta: Described) -> JsonObject:
    schema: JsonObject = {"type": shape.of}
    if shape.of == "integer":
        schema["format"] = "int32" if (meta.maximum or _INT32_MAX + 1) <= _INT32_MAX else "int64"
    if meta.minimum is not None:
        schema["minimum"] = _as_stored(meta.minimum)
    if meta.maximum is not None:
        schema["maximum"] = _as_stored(meta.maximum)
    if meta.pattern:
        schema["pattern"] = f"^(?:{meta.pattern})$"
        if meta.pattern_says:
            schema[VALIDATIONS] = [text_rule(meta.pattern, meta.pattern_says)]
    return schema


def text_rule(pattern: str, says: str, *, of: str = "self") -> JsonObject:
    """Return the CEL rule that a text must match a pattern as a whole."""
    return {"rule": f"{of}.matches({json.dumps(f'^(?:{pattern})$')})", "message": f"expected {says}"}


def _quantity(shape: Shape, meta: Described) -> JsonObject:
    """Return the schema of a size, of cores or of a duration. A plain number is a whole one; a duration, only 0."""
    pattern = _TEXTS[shape.inner]
    matches = f"self.matches({json.dumps(pattern, ensure_ascii=False)})"
    number = "self == 0" if shape.inner == "seconds" else "self >= 0"
    rules: list[Json] = [
        {"rule": f"type(self) == int ? {number} : {matches}", "message": f"expected {in_words(shape)}"}
    ]
    if meta.minimum:
        least = FORMATTERS[shape.inner](meta.minimum)
        rules.append(
            {
                "rule": f"type(self) == string && (!{matches} || duration(self) >= duration({json.dumps(least)}))",
                "message": f"use {least} or more",
            }
        )
    return {
        "x-kubernetes-int-or-string": True,
        "pattern": pattern,
        VALIDATIONS: rules,
    }


def _with(schema: JsonObject, extra: JsonObject) -> JsonObject:
    """Return a schema with further keywords; the validations of both are kept."""
    together: JsonObject = {**schema, **extra}
    generated, given = schema.get(VALIDATIONS), extra.get(VALIDATIONS)
    if is_array(generated) and is_array(given):
        together[VALIDATIONS] = [*generated, *given]
    return together


def _as_stored(number: float) -> float:
    """Return a bound as the API server stores it, so that it is not a change: a whole number without a fraction."""
    return int(number) if float(number).is_integer() else number
