"""Turn an object into the form in which an API server keeps it: without zeros that mean "absent", quantities canonical.

Called by render.schemas. It comes before defaults. A written `hostNetwork: false`, `env: []` or `name: ""` is absent at
an API server, so that `has(spec.hostNetwork)` is false there; `memory: 1024Mi` is "1Gi", and `cpu: 1` is "1".

Invariant: only fields of Kubernetes' own types change, and a structure that the server does not expect stays.
Held by tests/render/test_served_form.py.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bateau.domain.api_zeros import KEPT_ZEROS, UNKNOWN
from bateau.kit.cel_quantity import canonical_quantity
from bateau.kit.json_value import JsonObject, ReadJson, ReadObject, array_at, object_at

_REFERENCE: Final = "#/$defs/"
_PREFIXES: Final = ("io.k8s.api.", "io.k8s.apimachinery.pkg.apis.")
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"

# Returns the form of a value; None instead of a function where no value of a type ever changes.
_Form = Callable[[ReadJson], ReadJson]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a type: whether its zero is left out, and the form of its values."""

    droppable: bool
    form: _Form | None


_ANY: Final = _Field(droppable=False, form=None)


class ServedForms:
    """The forms of the shipped types, each prepared once. `definitions` are their schemas by name."""

    def __init__(self, definitions: Mapping[str, JsonObject]) -> None:
        self._definitions = definitions
        self._types: dict[str, Mapping[str, _Field]] = {}

    def of(self, tree: ReadObject, name: str) -> ReadObject:
        """Return an object, whose type has this name among the definitions, as an API server keeps it."""
        fields = self._type(name)
        made: dict[str, ReadJson] = {}
        for key, value in tree.items():
            field = fields.get(key, _ANY)
            if value or (value is not None and not field.droppable):
                made[key] = field.form(value) if field.form else value
        return made

    def _type(self, name: str) -> Mapping[str, _Field]:
        if name not in self._types:
            own = next((name.removeprefix(each) for each in _PREFIXES if name.startswith(each)), None)
            schema = self._definitions.get(name, {})
            kept = (*array_at(schema, "required"), *KEPT_ZEROS.get(own or "", "").split())
            known = own is not None and own not in UNKNOWN
            fields = {key: object_at({"": each}, "") for key, each in object_at(schema, "properties").items()}
            self._types[name] = {
                key: _Field(
                    droppable=known and bool(each) and key not in kept and "$ref" not in each, form=self._form(each)
                )
                for key, each in fields.items()
            }
        return self._types[name]

    def _form(self, schema: JsonObject) -> _Form | None:
        """Return the form of the values of a field, an item or an entry of a map."""
        reference = schema.get("$ref")
        if isinstance(reference, str):
            name = reference.removeprefix(_REFERENCE)
            return _quantity if name == _QUANTITY else functools.partial(self._object, name=name)
        if (inner := self._form_at(schema, "items")) is not None:
            return functools.partial(_list, inner=inner)
        if (inner := self._form_at(schema, "additionalProperties")) is not None:
            return functools.partial(_map, inner=inner)
        return None

    def _form_at(self, schema: JsonObject, part: str) -> _Form | None:
        inner = object_at(schema, part)
        return self._form(inner) if inner else None

    def _object(self, value: ReadJson, *, name: str) -> ReadJson:
        return self.of(value, name) if isinstance(value, Mapping) else value


def _quantity(value: ReadJson) -> ReadJson:
    if value is None or isinstance(value, Mapping | list):
        return value
    return canonical_quantity(str(value)) or value


def _list(value: ReadJson, *, inner: _Form) -> ReadJson:
    return [inner(each) for each in value] if isinstance(value, list) else value


def _map(value: ReadJson, *, inner: _Form) -> ReadJson:
    return {key: inner(each) for key, each in value.items()} if isinstance(value, Mapping) else value
