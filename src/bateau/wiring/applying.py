"""What `apply` needs beside a control plane: the texts to apply, their commit, and a preview where nothing runs yet.

Called by that command.
"""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bateau.control.path import understand
from bateau.control.preview import Preview, preview
from bateau.domain.errors import SourceError
from bateau.domain.release import Release
from bateau.sources.git import GitObjects
from bateau.sources.spec_files import SpecFiles
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


async def _commit_holding(directory: Path, texts: Mapping[str, str], *, other_files: bool) -> str | None:
    objects = await GitObjects.of_clone(directory, environ=os.environ)
    commit = await objects.id_of("HEAD")
    if await objects.texts_at(commit) != dict(texts) or (other_files and not await objects.is_clean()):
        return None
    return commit


def first_preview(texts: Mapping[str, str], environment: str | None) -> Preview:
    """Return what texts would start on a machine where nothing runs."""
    written = understand(texts, environment, os.environ, today=datetime.now(tz=UTC).date())
    return preview(written, written.release, Release(environment=environment))


def left_running(where: Paths) -> bool:
    """Whether a control plane that is gone has left replicas, which the next one adopts."""
    return any((where.state / "replicas").glob("*.json"))
