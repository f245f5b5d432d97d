"""Find the foreign documents that apps bring: below a directory, or in a commit that is laid out for that.

Called by wiring.delivery and wiring.written.
"""

import atexit
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from bateau.domain.errors import SourceError
from bateau.ports.foreign import Foreign
from bateau.sources.foreign import ForeignDocuments
from bateau.sources.git import GitObjects
from bateau.wiring.schemas import api_versions
from bateau.wiring.work_tree import lay_out


def foreign_documents(directory: Path, kubernetes: str) -> Foreign:
    """Return what reads the foreign documents below a directory, for a version of Kubernetes."""
    return ForeignDocuments(
        directory, environ=os.environ, kubernetes=kubernetes, serves=partial(api_versions, kubernetes)
    )


async def laid_out(objects: GitObjects, commit: str) -> Path:
    """Return a directory with the files of a commit; it is removed when the process ends. Raises SourceError."""
    files, problems = await objects.tree_at(commit, wanted=lambda _: True)
    if problems:
        raise SourceError(f"commit {commit[:12]} cannot be read: {problems[0].says}", hint=problems[0].hint)
    folder = Path(tempfile.mkdtemp(prefix="bateau-commit-"))
    # Origins are worked out when they are asked for, which may be at the very end.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lay_out(folder / "tree", files)
    return folder / "tree"
