"""The settings from the environment that concern sources.

Made by models; read by every resolver and by session.

The process's own environment is not read; the caller decides which variables exist.
"""

import netrc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bateau.sources.http import basic_authorization

_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The directory for relative paths, and the variables of the environment."""

    base: Path
    environ: Mapping[str, str]
    index_url: str | None = None

    def flag(self, name: str) -> bool:
        """Whether the variable is set to a value that means yes."""
        return self.environ.get(name, "").strip().lower() not in _FALSE

    def netrc(self, host: str | None) -> dict[str, str]:
        """Return the Authorization header for `host` from NETRC or ~/.netrc, like pip and curl; empty if none."""
        path = Path(self.environ.get("NETRC") or self.home / ".netrc")
        try:
            found = netrc.netrc(path).authenticators(host or "")
        except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
            return {}
        return {"Authorization": basic_authorization(found[0], found[2])} if found else {}

    @property
    def home(self) -> Path:
        """The user's home directory."""
        return Path(self.environ.get("HOME") or Path.home())
