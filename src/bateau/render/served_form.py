"""Turn an object into the form in which an API server keeps it: without zeros that mean "absent", quantities canonical.

Called by render.schemas. It comes before defaults. A written `hostNetwork: false`, `env: []` or `name: ""` is absent at
an API server, so that `has(spec.hostNetwork)` is false there; `memory: 1024Mi` is "1Gi", and `cpu: 1` is "1".

Invariant: only fields of Kubernetes' own types change, and a structure that the server does not expect stays.
Held by tests/render/test_served_form.py.
"""

from collections.abc import Mapping
from typing import Final

from bateau.domain.api_zeros import KEPT_ZEROS, UNKNOWN
from bateau.kit.cel_quantity import canonical_quantity
from bateau.kit.json_value import SCALARS, Json, JsonObject, ReadJson, ReadObject, array_at, object_at

_REFERENCE: Final = "#/$defs/"
_PREFIXES: Final = ("io.k8s.api.", "io.k8s.apimachinery.pkg.apis.")
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def served_form(tree: ReadObject, name: str, definitions: Mapping[str, JsonObject]) -> ReadObject:
    """Return an object, whose type has this name among the shipped definitions, as an API server keeps it."""
    return _fields(tree, name, definitions)


def _fields(tree: ReadObject, name: str, definitions: Mapping[str, JsonObject]) -> JsonObject:
    own = next((name.removeprefix(each) for each in _PREFIXES if name.startswith(each)), None)
    schema = definitions.get(name, {})
    fields, required = object_at(schema, "properties"), array_at(schema, "required")
    kept = KEPT_ZEROS.get(own or "", "").split()
    known = own is not None and own not in UNKNOWN
    made: JsonObject = {}
    for key, value in tree.items():
        field = object_at(fields, key)
        droppable = known and bool(field) and key not in required and key not in kept and "$ref" not in field
        if value is not None and not (droppable and _is_zero(value)):
            made[key] = _value(value, field, definitions)
    return made


def _is_zero(value: ReadJson) -> bool:
    return value is False or (not isinstance(value, bool) and value in (0, "")) or value in ([], {}, ())


def _value(value: ReadJson, schema: JsonObject, definitions: Mapping[str, JsonObject]) -> Json:
    """Return a value of a field, an item or an entry of a map."""
    reference = schema.get("$ref")
    name = reference.removeprefix(_REFERENCE) if isinstance(reference, str) else None
    if isinstance(value, SCALARS):
        return (canonical_quantity(str(value)) or value) if name == _QUANTITY else value
    if isinstance(value, Mapping):
        if name is not None:
            return _fields(value, name, definitions)
        inner = object_at(schema, "additionalProperties")
        return {key: _value(each, inner, definitions) for key, each in value.items()}
    inner = object_at(schema, "items")
    return [_value(each, inner, definitions) for each in value]
