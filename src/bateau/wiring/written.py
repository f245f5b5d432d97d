"""Read what is written below a directory, for commands that act on nothing.

Called by check and explain.
"""

from dataclasses import dataclass
from pathlib import Path

from bateau.control.path import Written, understand
from bateau.sources.spec_files import SpecFiles


@dataclass(frozen=True, kw_only=True)
class ReadDirectory:
    """What stands in a directory, and what of it this version does not judge."""

    written: Written
    not_checked: tuple[str, ...]


def read_directory(directory: Path) -> ReadDirectory:
    """Read and understand every spec below `directory`. Raises ControlError where it cannot be read."""
    written = understand(SpecFiles(directory, default={}).read())
    not_checked: list[str] = []
    if written.policies:
        not_checked.append(f"policies ({written.policies}): this version reads them and does not judge")
    if written.environments:
        not_checked.append(
            f"environments ({written.environments}): this version reads them and does not hydrate for them"
        )
    return ReadDirectory(written=written, not_checked=tuple(not_checked))
