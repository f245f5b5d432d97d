"""What a command asks of specs.

Made by `render`, `plan` and `explain`; answered by wiring.delivery and wiring.packing.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a command asks for."""

    directory: Path
    environment: str | None
    namespace: str = "default"
    starter: bool = False
    kubernetes: str = "1.37"
