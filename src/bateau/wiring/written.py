"""Read what is written below a directory, for commands that act on nothing.

Called by check and explain.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from bateau.control.path import Written, understand
from bateau.domain.problem import Problem, Severity
from bateau.sources.spec_files import SpecFiles


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What stands in a directory, for every environment that it has (None where it has none)."""

    environments: dict[str | None, Written]
    problems: tuple[Problem, ...]
    not_checked: tuple[str, ...]

    @property
    def wrong(self) -> bool:
        """Whether there is any mistake."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)


def read_directory(directory: Path, environment: str | None = None) -> Written:
    """Read and understand every spec below `directory`. Raises ControlError where it cannot be read."""
    return understand(SpecFiles(directory, default={}).read(), environment, os.environ)


def check_directory(directory: Path) -> Checked:
    """Check every spec below `directory` for every environment; a mistake that all share is told once."""
    texts = SpecFiles(directory, default={}).read()
    plain = understand(texts)
    names: tuple[str | None, ...] = plain.environments or (None,)
    found = {name: understand(texts, name, os.environ) for name in names}
    seen: dict[Problem, None] = {}
    for written in found.values():
        seen.update(dict.fromkeys(written.problems))
    not_checked = [f"policies ({plain.policies}): this version reads them and does not judge"] if plain.policies else []
    ordered = sorted(seen, key=lambda p: (p.where is None, p.where or 0, p.says))
    return Checked(environments=found, problems=tuple(ordered), not_checked=tuple(not_checked))
