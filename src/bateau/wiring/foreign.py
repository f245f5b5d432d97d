"""Wire the reader of the foreign documents that Apps bring: below a directory, or in a commit.

Called by wiring.
"""

import atexit
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from bateau.ports.foreign import Foreign
from bateau.sources.foreign import ForeignDocuments
from bateau.sources.git import CommitFiles, GitObjects, Listing
from bateau.wiring.schemas import api_versions


def foreign_documents(directory: Path, kubernetes: str) -> Foreign:
    """Return a reader of the foreign documents below a directory, for a version of Kubernetes."""
    return ForeignDocuments(
        directory, environ=os.environ, kubernetes=kubernetes, serves=partial(api_versions, kubernetes)
    )


def foreign_documents_at(objects: GitObjects, listing: Listing, commit: str, kubernetes: str) -> Foreign:
    """Return a reader of the foreign documents in a commit, for a version of Kubernetes.

    The files that Apps name are laid out in a directory, which is removed when the process ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="bateau-commit-"))
    # Origins are worked out when they are asked for, which may be at the very end.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tree = folder / "tree"
    tree.mkdir()
    return ForeignDocuments(
        tree,
        environ=os.environ,
        kubernetes=kubernetes,
        serves=partial(api_versions, kubernetes),
        files=CommitFiles(objects, listing, commit, tree),
    )
