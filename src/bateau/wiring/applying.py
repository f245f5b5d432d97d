"""What `apply` needs where no control plane is: texts, and a preview. And which commit texts are, for `render` as well.

Called by cli.apply, cli.render and wiring.rolling_back.
"""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bateau.control.path import understand
from bateau.control.preview import Preview, preview
from bateau.control.rollback import Rollbacks
from bateau.domain.errors import SourceError
from bateau.domain.release import Release
from bateau.sources.git import GitObjects
from bateau.sources.git.identity import identity_of
from bateau.sources.spec_files import SpecFiles
from bateau.store import StateFile
from bateau.wiring.paths import Paths


def texts_of(directory: Path) -> Mapping[str, str]:
    """Return the specs below a directory. Raises ControlError where it cannot be read."""
    return SpecFiles(directory, default={}).read()


def commit_holding(directory: Path, texts: Mapping[str, str], *, other_files: bool = False) -> str | None:
    """Return the commit whose specs `texts` are; None where they differ from it, or there is none.

    With `other_files`, those that specs name (charts, kustomizations) are of the commit, too: the whole work tree is.
    """
    try:
        return asyncio.run(_commit_holding(directory, texts, other_files=other_files))
    except (SourceError, subprocess.SubprocessError):
        return None


def repository_of(directory: Path) -> str:
    """Return the name of the repository that a directory is a clone of; "" if it is not known."""
    return asyncio.run(identity_of(directory, os.environ))


async def _commit_holding(directory: Path, texts: Mapping[str, str], *, other_files: bool) -> str | None:
    objects = await GitObjects.of_clone(directory, environ=os.environ)
    commit = await objects.id_of("HEAD")
    if await objects.texts_at(commit) != dict(texts) or (other_files and not await objects.is_clean()):
        return None
    return commit


def first_preview(texts: Mapping[str, str], environment: str | None, where: Paths) -> Preview:
    """Return what texts would do where no control plane is: to what one that is gone has left, if it has."""
    today = datetime.now(tz=UTC).date()
    written = understand(texts, environment, os.environ, today=today)
    running, keys = Release(environment=environment), ()
    remembered = StateFile(where.state / "control.json").load().get("texts")
    if left_running(where) and isinstance(remembered, dict):
        known = {str(name): str(text) for name, text in remembered.items()}
        left = understand(known, environment, os.environ, today=today)
        running, keys = left.release, left.keys
    return preview(written, written.release, running, keys=keys)


def held(where: Paths, environment: str | None) -> Mapping[str, int]:
    """Return the services that a rollback holds for an instance that is not up, with their revisions."""
    rollbacks = Rollbacks.remembered_in(StateFile(where.state / "control.json").load().get("rollbacks"), environment)
    return {key: hold.revision for key, hold in rollbacks.items()}


def left_running(where: Paths) -> bool:
    """Whether a control plane that is gone has left replicas, which the next one adopts."""
    return any((where.state / "replicas").glob("*.json"))
