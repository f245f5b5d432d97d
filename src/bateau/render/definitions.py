"""Turn the shipped definitions of Kubernetes' kinds into schemas that reject null where an API server does.

Called by render.schemas. It runs once for each kind that is requested. The shipped definitions allow null everywhere,
because an API server drops a null in an optional field.

Invariant: a required field and a list item reject null; an optional field and a map value accept it. Held by
tests/render/test_validation.py.
Invariant: the shipped data is not changed. Held by
tests/render/test_validation.py::test_the_shipped_definitions_are_not_changed.
Refused: editing the data by hand. The data of the next version of Kubernetes would bring the nulls back.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from bateau.kit.json_value import Json, JsonObject, array_at, object_at

_REFERENCE: Final = "#/$defs/"
_NOT_NULL: Final[JsonObject] = {"type": "null"}


class Definitions:
    """The definitions of one version of Kubernetes; `schema` returns one of them with all that it refers to."""

    def __init__(self, shipped: Mapping[str, JsonObject]) -> None:
        self._shipped = shipped
        self._strict: dict[str, JsonObject] = {}

    def schema(self, name: str) -> JsonObject:
        """Return a self-contained JSON Schema. Small: a compiler reads every definition that it is handed."""
        needed: JsonObject = {}
        waiting = [name]
        while waiting:
            each = waiting.pop()
            if each not in needed:
                needed[each] = self._definition(each)
                waiting += _references(needed[each])
        return {"$ref": f"{_REFERENCE}{name}", "$defs": needed}

    def _definition(self, name: str) -> JsonObject:
        if name not in self._strict:
            self._strict[name] = self._converted(self._shipped[name])
        return self._strict[name]

    def _converted(self, schema: JsonObject) -> JsonObject:
        made = dict(schema)
        if "oneOf" in made:
            # Alternatives that all accept null reject it as ambiguous. Those of the shipped data differ by type alone.
            made["type"] = [*sorted({kind for each in array_at(made.pop("oneOf")) for kind in _types(object_at(each))})]
        if "properties" in made:
            required = array_at(made, "required")
            fields = {name: self._converted(object_at(each)) for name, each in object_at(made, "properties").items()}
            made["properties"] = {
                name: self._present(each) if name in required else each for name, each in fields.items()
            }
        if "items" in made:
            made["items"] = self._present(self._converted(object_at(made, "items")))
        if isinstance(others := made.get("additionalProperties"), dict):
            made["additionalProperties"] = self._converted(others)
        return made

    def _present(self, schema: JsonObject) -> JsonObject:
        """Return a schema that rejects null."""
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return (
                {**schema, "type": [each for each in _types(schema) if each != "null"]} if "type" in schema else schema
            )
        # As it is shipped: definitions refer to each other in circles.
        target = self._shipped[reference.removeprefix(_REFERENCE)]
        # An API server writes and reads an absent time as null, and any JSON may be null.
        if target.get("format") == "date-time" or not target.keys() & {"type", "oneOf"}:
            return schema
        return {**schema, "not": _NOT_NULL}


def _types(schema: JsonObject) -> list[str]:
    types = schema["type"]
    return [types] if isinstance(types, str) else [each for each in array_at(types) if isinstance(each, str)]


def _references(schema: Json) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, each in schema.items():
            if key == "$ref" and isinstance(each, str):
                yield each.removeprefix(_REFERENCE)
            else:
                yield from _references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)
