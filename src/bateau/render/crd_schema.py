"""Turn a structural schema of a CRD into JSON Schema that rejects unknown fields, as a strict API server does.

Also: fill in its defaults, and leave them out again.

Called by render.schemas. Source: kubernetes.io, "Extend the Kubernetes API with CustomResourceDefinitions".

Invariant: an object that the API server accepts passes. A required field that has a default may be absent. A null is
accepted in optional fields and in map values, where the server drops it, and rejected in required fields and lists.
Held by tests/render/test_validation.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bateau.kit.json_value import JsonObject, ReadJson, ReadObject, array_at, object_at, text_at

_KEPT: Final = (
    *("type", "enum", "pattern", "required", "uniqueItems", "multipleOf", "minimum", "maximum"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
)
_TEXTS: Final[JsonObject] = {"type": ["object", "null"], "additionalProperties": {"type": "string"}}
_METADATA: Final[JsonObject] = {
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


def json_schema(structural: JsonObject) -> JsonObject:
    """Return the JSON Schema of a version of a CRD."""
    made = _converted(structural, strict=True)
    made["type"] = "object"
    properties = object_at(made, "properties")
    properties.setdefault("apiVersion", {"type": "string"})
    properties.setdefault("kind", {"type": "string"})
    properties["metadata"] = _METADATA
    made["properties"] = properties
    return made


def with_defaults(structural: JsonObject, tree: ReadObject) -> ReadObject:
    """Return a custom resource, or a part of one, as the API server has it: nulls dropped, defaults filled in."""
    properties, rest = object_at(structural, "properties"), object_at(structural, "additionalProperties")
    made: dict[str, ReadJson] = {}
    for name, each in tree.items():
        schema = object_at(properties, name) or rest
        if each is not None or schema.get("nullable"):
            made[name] = _filled(schema, each)
    for name, schema in properties.items():
        if name not in made and isinstance(schema, dict) and "default" in schema:
            made[name] = _filled(schema, schema["default"])
    return made


def without_defaults(structural: JsonObject, live: ReadObject, wanted: ReadObject) -> ReadObject:
    """Return a custom resource of a cluster without the defaults of fields that the wanted one leaves out.

    The API server fills them in. Where the fields of a list are applied as a whole, nothing else tells them from fields
    that were applied before and are no longer wanted.
    """
    properties, rest = object_at(structural, "properties"), object_at(structural, "additionalProperties")
    made: dict[str, ReadJson] = {}
    for name, each in live.items():
        schema = object_at(properties, name) or rest
        if name in wanted:
            made[name] = _unfilled(schema, each, wanted[name])
        elif "default" not in schema or _filled(schema, schema["default"]) != each:
            made[name] = each
    return made


def _unfilled(structural: JsonObject, live: ReadJson, wanted: ReadJson) -> ReadJson:
    if isinstance(live, Mapping) and isinstance(wanted, Mapping):
        return without_defaults(structural, live, wanted)
    if not isinstance(live, list) or not isinstance(wanted, list):
        return live
    items = object_at(structural, "items")
    return [_unfilled(items, *each) for each in zip(live, _beside(structural, live, wanted), strict=True)]


def _beside(structural: JsonObject, live: Sequence[ReadJson], wanted: Sequence[ReadJson]) -> Iterator[ReadJson]:
    """Yield the wanted item for each item of a list: the one with its keys, or the one at its place; else None."""
    keys = [str(each) for each in array_at(structural, "x-kubernetes-list-map-keys")]
    named = {tuple(str(object_at({"": each}, "").get(key)) for key in keys): each for each in wanted}
    for index, item in enumerate(live):
        if keys:
            yield named.get(tuple(str(object_at({"": item}, "").get(key)) for key in keys))
        else:
            yield wanted[index] if index < len(wanted) else None


def _filled(structural: JsonObject, value: ReadJson) -> ReadJson:
    if isinstance(value, Mapping):
        return with_defaults(structural, value)
    if not isinstance(value, list):
        return value
    items = object_at(structural, "items")
    return [_filled(items, each) for each in value]


def _converted(schema: JsonObject, *, strict: bool) -> JsonObject:
    made = {key: value for key, value in schema.items() if key in _KEPT}
    if "pattern" in made:
        # RE2 reads \0 as NUL; the engine here knows it by its number only.
        made["pattern"] = text_at(made, "pattern").replace("\\0", "\\x00")
    for end in ("Minimum", "Maximum"):
        if schema.get(f"exclusive{end}") is True:
            made[f"exclusive{end}"] = made.pop(end.lower())
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    _fields(schema, made, strict=strict)
    if isinstance(items := schema.get("items"), dict):
        made["items"] = _nullable(_converted(items, strict=strict), items, optional=False)
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            made[key] = [_converted(object_at(each), strict=False) for each in array_at(schema, key)]
    if "not" in schema:
        made["not"] = _converted(object_at(schema, "not"), strict=False)
    return made


def _fields(schema: JsonObject, made: JsonObject, *, strict: bool) -> None:
    """Add what `schema` says of the fields of a mapping."""
    properties = object_at(schema, "properties")
    named = [name for name in array_at(made.pop("required", [])) if isinstance(name, str)]
    required = [name for name in named if "default" not in object_at(properties, name)]
    if required:
        made["required"] = [*required]
    if properties:
        made["properties"] = {
            name: _nullable(_converted(object_at(each), strict=strict), object_at(each), optional=name not in required)
            for name, each in properties.items()
        }
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        made["additionalProperties"] = _nullable(_converted(others, strict=strict), others, optional=True)
    elif strict and schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = bool(others)
    if schema.get("x-kubernetes-embedded-resource") and made.get("additionalProperties") is False:
        standard: JsonObject = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _METADATA}
        made["properties"] = {**object_at(made, "properties"), **standard}


def _nullable(made: JsonObject, schema: JsonObject, *, optional: bool) -> JsonObject:
    if not (optional or schema.get("nullable")):
        return made
    if "type" in made:
        types = made["type"]
        made["type"] = [*(types if isinstance(types, list) else [types]), "null"]
    if "enum" in made:
        made["enum"] = [*array_at(made, "enum"), None]
    return made
