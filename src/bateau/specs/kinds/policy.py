"""Policy: CEL rules with a message and a severity."""

from typing import Final

from bateau.domain.resource import Column, Resource
from bateau.domain.rules import PolicySpec
from bateau.domain.spec import Kind

_ROWS: Final = {"maxItems": 256}

_RESOURCE: Final = Resource(
    plural="policies",
    short_name="bpol",
    columns=(
        Column(name="Kinds", path=".spec.match.kinds"),
        Column(name="Rules", path=".spec.rules[*].name"),
    ),
    limits={
        "spec.variables": _ROWS,
        "spec.variables[].name": {"maxLength": 256},
        "spec.rules": _ROWS,
        "spec.rules[].name": {"maxLength": 63},
        "spec.exceptions": _ROWS,
        "spec.exceptions[].owner": {"maxLength": 1024},
        "spec.exceptions[].reason": {"maxLength": 4096},
        "spec.exceptions[].until": {"maxLength": 10},
    },
)

KIND = Kind(name="Policy", schema=PolicySpec, resource=_RESOURCE)
