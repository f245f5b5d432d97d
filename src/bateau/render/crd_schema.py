"""Turn a structural schema of a CRD into JSON Schema that rejects unknown fields, as a strict API server does.

Also: fill in its defaults.

Called by render.schemas. Source: kubernetes.io, "Extend the Kubernetes API with CustomResourceDefinitions".

Invariant: an object that the API server accepts passes. A required field that has a default may be absent. A null is
accepted in optional fields and in map values, where the server drops it, and rejected in required fields and lists.
Held by tests/render/test_validation.py.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

_KEPT: Final = (
    *("type", "enum", "pattern", "required", "uniqueItems", "multipleOf", "minimum", "maximum"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
)
_TEXTS: Final = {"type": ["object", "null"], "additionalProperties": {"type": "string"}}
_METADATA: Final = {
    "type": "object",
    "properties": {
        **{name: {"type": ["string", "null"]} for name in ("name", "generateName", "namespace", "uid", "selfLink")},
        **{
            name: {"type": ["string", "null"]} for name in ("resourceVersion", "creationTimestamp", "deletionTimestamp")
        },
        **{name: {"type": ["integer", "null"]} for name in ("generation", "deletionGracePeriodSeconds")},
        **{name: {"type": ["array", "null"]} for name in ("ownerReferences", "finalizers", "managedFields")},
        "labels": _TEXTS,
        "annotations": _TEXTS,
    },
    "additionalProperties": False,
}


def json_schema(structural: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a version of a CRD."""
    made = _converted(structural, strict=True)
    made["type"] = "object"
    properties = made.setdefault("properties", {})
    properties.setdefault("apiVersion", {"type": "string"})
    properties.setdefault("kind", {"type": "string"})
    properties["metadata"] = _METADATA
    return made


def with_defaults(structural: Mapping[str, Any], value: Any) -> Any:
    """Return a custom resource, or a part of one, as the API server has it: nulls dropped, defaults filled in."""
    if isinstance(value, list):
        items: dict[str, Any] = structural.get("items") or {}
        return [with_defaults(items, each) for each in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    properties: dict[str, dict[str, Any]] = structural.get("properties") or {}
    others: Any = structural.get("additionalProperties")
    rest = cast("dict[str, Any]", others) if isinstance(others, dict) else {}
    made: dict[str, Any] = {}
    for name, each in cast("Mapping[str, Any]", value).items():
        schema = properties.get(name) or rest
        if each is not None or schema.get("nullable"):
            made[name] = with_defaults(schema, each)
    for name, schema in properties.items():
        if name not in made and "default" in schema:
            made[name] = with_defaults(schema, schema["default"])
    return made


def _converted(schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    made = {key: value for key, value in schema.items() if key in _KEPT}
    if "pattern" in made:
        # RE2 reads \0 as NUL; the engine here knows it by its number only.
        made["pattern"] = made["pattern"].replace("\\0", "\\x00")
    for end in ("Minimum", "Maximum"):
        if schema.get(f"exclusive{end}") is True:
            made[f"exclusive{end}"] = made.pop(end.lower())
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    _fields(schema, made, strict=strict)
    if isinstance(schema.get("items"), dict):
        made["items"] = _nullable(_converted(schema["items"], strict=strict), schema["items"], optional=False)
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            made[key] = [_converted(each, strict=False) for each in schema[key]]
    if "not" in schema:
        made["not"] = _converted(schema["not"], strict=False)
    return made


def _fields(schema: dict[str, Any], made: dict[str, Any], *, strict: bool) -> None:
    """Add what `schema` says of the fields of a mapping."""
    properties: dict[str, Any] = schema.get("properties") or {}
    required = [name for name in made.pop("required", ()) if "default" not in properties.get(name, {})]
    if required:
        made["required"] = required
    if properties:
        made["properties"] = {
            name: _nullable(_converted(each, strict=strict), each, optional=name not in required)
            for name, each in properties.items()
        }
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        values = cast("dict[str, Any]", others)
        made["additionalProperties"] = _nullable(_converted(values, strict=strict), values, optional=True)
    elif strict and schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = bool(others)
    if schema.get("x-kubernetes-embedded-resource") and made.get("additionalProperties") is False:
        standard = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _METADATA}
        made["properties"] = {**made.get("properties", {}), **standard}


def _nullable(made: dict[str, Any], schema: dict[str, Any], *, optional: bool) -> dict[str, Any]:
    if not (optional or schema.get("nullable")):
        return made
    if "type" in made:
        types = cast("list[str]", made["type"] if isinstance(made["type"], list) else [made["type"]])
        made["type"] = [*types, "null"]
    if "enum" in made:
        made["enum"] = [*made["enum"], None]
    return made
