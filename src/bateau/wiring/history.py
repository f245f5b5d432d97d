"""Open the history of an instance.

Called by cli.history and wiring.local.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from bateau.domain.errors import ControlError
from bateau.domain.revision import Revision
from bateau.store.revisions import RevisionStore
from bateau.wiring.paths import Paths

logger = logging.getLogger(__name__)


def history_path(paths: Paths) -> Path:
    """Return where the history of an instance lies."""
    return paths.state / "history.sqlite"


def kept_revisions(paths: Paths) -> tuple[RevisionStore | None, str]:
    """Return the history; None and the reason if it is damaged or read-only, because no running service needs it."""
    try:
        return RevisionStore(history_path(paths)), ""
    except ControlError as error:
        says = f"no history is kept: {error.message}{f' ({error.hint})' if error.hint else ''}"
        logger.error("%s", says)
        return None, says


def history(
    paths: Paths, *, environment: str | None = None, service: str | None = None, limit: int = 20
) -> Sequence[Revision]:
    """Return the revisions of an instance, newest first; none where it never ran. Raises ControlError.

    `service` is a key ("app/shop") or a name ("shop").
    """
    path = history_path(paths)
    if not path.exists():
        return ()
    store = RevisionStore(path)
    try:
        if service is None or "/" in service:
            return store.history(environment, service=service, limit=limit)
        found = {
            revision.id: revision
            for kind in ("app", "model")
            for revision in store.history(environment, service=f"{kind}/{service}", limit=limit)
        }
        return [found[number] for number in sorted(found, reverse=True)[:limit]]
    finally:
        store.close()
