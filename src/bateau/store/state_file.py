"""Store a small tree of plain values in one JSON file.

Called by store and wiring.

Invariant: the file is never half-written: a temporary file is renamed, so `kill -9` leaves the old or the new content.
Held by tests/wiring/test_instance.py.
Invariant: content in an unknown format is not used, and the first `save` keeps it beside the file, as `*.damaged`. Held
by tests/wiring/test_instance.py.
Invariant: `load` changes no file, because other processes read the file of a running control plane. Held by
tests/wiring/test_instance.py.
"""

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.kit.json_value import JsonObject, ReadObject, is_object

logger = logging.getLogger(__name__)

FORMAT: Final = 2
_FORMATS_READ: Final = (1, 2)  # format 1 had no number; only its digests differ, and control recognises those


class _UnreadableError(Exception):
    """The file has content that this version cannot read."""


class StateFile:
    """A JSON file that only its user can read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ours = False  # whether this instance has written the file, so that `save` may replace it

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Something that differs after each change; None if there is no file.

        The time alone would not do: the kernel's clock of files moves every few milliseconds.
        """
        try:
            about = self._path.stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_ino

    def read(self) -> JsonObject:
        """Return the tree, or an empty one if the file does not exist. Raises ControlError if it cannot be read."""
        try:
            return self._read()
        except _UnreadableError as error:
            raise ControlError(f"{self._path} cannot be read: {error}", hint="restore it from a backup") from error

    def load(self) -> JsonObject:
        """Return the tree, or an empty one if the file does not exist or cannot be read."""
        try:
            return self._read()
        except _UnreadableError as error:
            logger.error("%s cannot be read, so its saved state is not used: %s", self._path, error)
            return {}

    def _read(self) -> JsonObject:
        try:
            tree: object = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise _UnreadableError(str(error)) from error
        if not is_object(tree):
            raise _UnreadableError("it does not contain a JSON object")
        number = tree.pop("format", 1)
        if number not in _FORMATS_READ:
            raise _UnreadableError(f"it has format {number}, and this version reads formats up to {FORMAT}")
        return tree

    def _set_aside(self) -> None:
        """Rename a file that cannot be read, so that people and the version that wrote it still have it."""
        try:
            self._read()
        except _UnreadableError:
            aside = self._path.with_suffix(".damaged")
            with contextlib.suppress(OSError):  # if the rename fails, `save` replaces the file
                self._path.replace(aside)
                logger.error("%s could not be read and was renamed to %s", self._path, aside)

    def save(self, tree: ReadObject) -> None:
        """Write the tree. Raises ControlError if the disk is full or read-only."""
        if not self._ours:
            self._set_aside()
        partial = self._path.with_suffix(".partial")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"format": FORMAT, **tree}, file, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
            self._ours = True
        except OSError as error:
            raise ControlError(
                f"cannot write {self._path}: {error.strerror}",
                hint="free some space, or set XDG_STATE_HOME to a writable directory",
            ) from error
