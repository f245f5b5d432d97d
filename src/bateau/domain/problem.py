"""What is wrong with what people wrote: a collected value, never an exception.

Made by specs, hydrate and place; printed by the faces.
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
    """One mistake: where it stands, what it says, and how to mend it."""

    where: Position | None
    says: str
    hint: str | None = None
    severity: Severity = Severity.ERROR
