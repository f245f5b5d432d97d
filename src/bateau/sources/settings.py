"""What the environment says about where models come from.

Made by models; read by every resolver.

Invariant: nothing is read from the process's own environment; whoever makes it decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where relative paths start, and the variables of the environment."""

    base: Path
    environ: Mapping[str, str]
    index_url: str | None = None

    def flag(self, name: str) -> bool:
        """Whether the variable is set to something that means yes."""
        return self.environ.get(name, "").strip().lower() not in _FALSE

    @property
    def home(self) -> Path:
        """The user's home directory."""
        return Path(self.environ.get("HOME") or Path.home())
