"""An error or a warning about the specs: a collected value, never an exception.

Made by specs, hydrate, render, policy and place; printed by the faces.
"""

from dataclasses import dataclass
from enum import StrEnum

from bateau.kit.position import Position


class Severity(StrEnum):
    """The effect of a problem: an error blocks the whole change, a warning is only shown."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error or warning: its position, its message, and a hint with the fix.

    `services` has the services whose documents cause it, if the position does not show that: Apps may share a chart.
    `environments` has the environments in which it occurs. It is empty if there are none, or if it occurs in all.
    """

    where: Position | None
    says: str
    hint: str | None = None
    severity: Severity = Severity.ERROR
    services: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
