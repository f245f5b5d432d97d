"""Store a small tree of plain values in one JSON file.

Called by control through ports.memory.

Invariant: the file is never half-written: a temporary file is renamed, so kill -9 leaves the old or the new content.
"""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from bateau.domain.errors import ControlError

logger = logging.getLogger(__name__)


class StateFile:
    """A JSON file that only its user can read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Any]:
        """Return the tree, or an empty one if the file does not exist or cannot be read."""
        try:
            tree = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be read; its saved state is lost: %s", self._path, error)
            return {}
        return cast("dict[str, Any]", tree) if isinstance(tree, dict) else {}

    def save(self, tree: Mapping[str, Any]) -> None:
        """Write the tree. Raises ControlError if the disk is full or read-only."""
        partial = self._path.with_suffix(".partial")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(tree, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except OSError as error:
            raise ControlError(
                f"cannot write {self._path}: {error.strerror}",
                hint="free some space, or set XDG_STATE_HOME to a writable directory",
            ) from error
