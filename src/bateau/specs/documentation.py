"""The JSON Schema of specs, and the documentation of their fields.

Called by cli.explain and cli.schema.
"""

import inspect

from bateau.domain.spec import API_VERSION, Metadata
from bateau.kit.json_value import JsonObject
from bateau.kit.schema_docs import FieldPage, field_page, object_schema
from bateau.kit.suggest import did_you_mean, listed
from bateau.specs.kinds import KINDS


def json_schema() -> JsonObject:
    """Return the JSON Schema (2020-12) of one document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Bateau spec",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"enum": list(KINDS)}},
        "oneOf": [_document_schema(name, kind.schema) for name, kind in KINDS.items()],
    }


def explain_field(subject: str) -> FieldPage:
    """Return the documentation of "Model", "Model.spec" or "Model.spec.scale.max".

    Raises LookupError, with a hint, if the field does not exist.
    """
    kind, _, path = subject.partition(".")
    if kind not in KINDS:
        raise LookupError(f"there is no kind `{kind}`: {did_you_mean(kind, KINDS) or listed(KINDS)}")
    first, _, rest = path.partition(".")
    if first == "metadata":
        return field_page(Metadata, rest, root=f"{kind}.metadata")
    if first in ("", "spec"):
        return field_page(KINDS[kind].schema, rest, root=f"{kind}.spec")
    raise LookupError(f"{kind} has no field `{first}`: available: metadata, spec")


def _document_schema(kind: str, cls: type) -> JsonObject:
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or ""),
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind},
            "metadata": object_schema(Metadata),
            "spec": object_schema(cls),
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
    }
