"""Check the specs below a directory without applying them.

Called by cli.check.
"""

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from bateau.control.delivery import check, unseen_kinds
from bateau.control.folding import folded
from bateau.control.object_checks import Rules
from bateau.control.path import Written
from bateau.domain.problem import Problem, Severity
from bateau.kit.position import Position
from bateau.sources.spec_files import SpecFiles
from bateau.specs import read
from bateau.wiring.foreign import foreign_documents
from bateau.wiring.policies import starter_policies
from bateau.wiring.schemas import VERSIONS, load_schemas


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The specs of a directory, for every environment in it (the key is None if it has none)."""

    environments: dict[str | None, Written]
    problems: tuple[Problem, ...]
    ignored: int = 0  # files that `.bateauignore` excludes

    @property
    def empty(self) -> bool:
        """Whether the directory has no Bateau documents, valid or broken, and no environment."""
        first = next(iter(self.environments.values()))
        return not (self.problems or first.release.services or first.policies or first.environments or first.keys)

    @property
    def wrong(self) -> bool:
        """Whether there is any error."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)

    @property
    def mistaken(self) -> bool:
        """Whether there is any error that does not come from a policy."""
        return any(written.mistaken for written in self.environments.values())


def check_directory(directory: Path, *, starter: bool = False) -> Checked:
    """Check every spec below `directory` for every environment; an error that all share is reported once.

    `starter` adds the starter set of policies.
    """
    files = SpecFiles(directory, default={})
    reading = read(files.read())
    rules = Rules(schemas=load_schemas(), today=_today(), starter=starter_policies() if starter else ())
    environments = [spec.name for spec in reading.specs if spec.kind == "Environment"]
    names: list[str | None] = [*environments] or [None]
    foreign = foreign_documents(directory, VERSIONS[-1])
    found = {name: check(reading, name, rules, variables=os.environ, foreign=foreign) for name in names}
    shared = (*_unread(files), *unseen_kinds(list(found.values())))
    problems = folded({name: (*shared, *written.problems) for name, written in found.items()})
    return Checked(environments=found, problems=problems, ignored=files.count_ignored())


def _unread(files: SpecFiles) -> list[Problem]:
    """Report the files that were not read, since a spec in them would be missing."""
    return [
        Problem(where=Position(name, 1, 1), says=f"this {why}, so it is not read", severity=Severity.WARNING)
        for name, why in files.unread
    ]


def _today() -> date:
    return datetime.now(tz=UTC).date()
