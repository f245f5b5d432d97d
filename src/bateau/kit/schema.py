"""Frozen dataclasses as a schema: documented fields with units, patterns and bounds."""

import dataclasses
from typing import Annotated, Any

Bytes = Annotated[int, "bytes"]
Cores = Annotated[float, "cores"]
Seconds = Annotated[float, "seconds"]


def described(
    doc: str,
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    pattern: str | None = None,
    pattern_says: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    examples: tuple[Any, ...] = (),
    unsupported: str | None = None,
) -> Any:
    """Declare a documented dataclass field."""
    return dataclasses.field(
        default=default,
        default_factory=default_factory,
        metadata={
            "doc": doc,
            "pattern": pattern,
            "pattern_says": pattern_says,
            "minimum": minimum,
            "maximum": maximum,
            "examples": examples,
            "unsupported": unsupported,
        },
    )
