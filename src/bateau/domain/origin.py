"""Where the value of one field came from, step by step.

Made by hydrate and render as they make values; printed by explain, plan and policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bateau.kit.position import Position

How = Literal["written", "default", "patch", "expression", "value", "rule", "foreign"]


@dataclass(frozen=True, slots=True)
class Origin:
    """One step in the making of a value.

    `how`: written in the document; the schema's default; set by a patch; result of an expression; a value of an
    environment that the expression read; made by a rule of a render target; taken from a foreign document (a
    manifest, a kustomization, a template), where `says` tells how far it is known.
    `at` is None for defaults and rules. `says` is the expression, the patch's match, or the rule in words.
    """

    how: How
    at: Position | None
    value: Any
    says: str | None = None


# Oldest step first; the last one gave the value. Paths as in kit.position: "spec.ports.http.port".
Origins = Mapping[str, tuple[Origin, ...]]
