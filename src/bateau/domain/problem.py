"""An error or a warning about the specs: a collected value, never an exception.

Made by specs, hydrate, render, policy and place; printed by the faces.
"""

from dataclasses import dataclass
from enum import StrEnum

from bateau.kit.position import Position


class Severity(StrEnum):
    """How much a problem stops: an error blocks the whole change, a warning is shown."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error or warning: its place, its message, and how to fix it.

    `services` names the services whose documents have it, where the place does not tell: a chart serves several.
    `environments` names the environments in which it occurs; it is empty if there is none, or if all have it.
    """

    where: Position | None
    says: str
    hint: str | None = None
    severity: Severity = Severity.ERROR
    services: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
