"""The texts that were applied: the desired state of an instance that follows neither a directory nor a repository.

Called by control through ports.texts; `apply` writes them, through the control plane where one runs.

Invariant: the file is always whole, and outlives the directory that it was applied from.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bateau.domain.errors import ControlError
from bateau.store.state_file import StateFile


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What `apply` gives: texts by file name, and the commit that holds just these, None where none does."""

    texts: Mapping[str, str]
    commit: str | None = None


class AppliedTexts:
    """Satisfies `ports.texts.Texts`. `directory` is where the programs of apps lie."""

    def __init__(self, path: Path, *, directory: Path) -> None:
        self._file = StateFile(path)
        self._directory = directory
        self._changed = asyncio.Event()

    @property
    def place(self) -> str:
        """Where they were applied from."""
        return str(self._directory)

    @property
    def commit_id(self) -> str | None:
        """The commit that was applied; None where the work tree differed from it, or is of no repository."""
        commit = self._file.load().get("commit")
        return commit if isinstance(commit, str) else None

    def read(self) -> Mapping[str, str]:
        """Return what was applied last. Raises ControlError where nothing was."""
        texts: Any = self._file.load().get("texts")
        if not isinstance(texts, dict):
            raise ControlError("nothing was applied yet", hint="bateau apply")
        return texts  # pyright: ignore[reportUnknownVariableType] - written by `apply` alone

    async def changes(self) -> AsyncIterator[None]:
        """Yield whenever something was applied."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield

    def apply(self, given: Applied) -> None:
        """Make `given` the desired state. Raises ControlError where it cannot be written."""
        self._file.save({"texts": dict(given.texts), "commit": given.commit})
        self._changed.set()
