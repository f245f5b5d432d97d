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
        not_checked.append(f"{written.policies} Policy documents are read, and not judged by this version")
    if written.environments:
        not_checked.append(f"{written.environments} Environment documents are read, and not hydrated by this version")
    return ReadDirectory(written=written, not_checked=tuple(not_checked))
