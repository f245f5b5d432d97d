"""Store the applied specs: the desired state of an instance that follows neither a directory nor a repository.

Called by wiring.local. control uses it through ports.texts. `apply` writes them, through the control plane if one is
running.

Invariant: the file is never half-written, and outlives the directory that the specs were applied from. Held by
tests/wiring/test_instance.py and tests/local/test_apply.py.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bateau.domain.errors import ControlError
from bateau.store.state_file import StateFile


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The input of `apply`: texts by file name, and the commit with exactly these texts; None if no commit has them."""

    texts: Mapping[str, str]
    commit: str | None = None


class AppliedTexts:
    """Satisfies `ports.texts.Texts`. `directory` contains the programs of apps."""

    def __init__(self, path: Path, *, directory: Path) -> None:
        self._file = StateFile(path)
        self._directory = directory
        self._changed = asyncio.Event()

    @property
    def place(self) -> str:
        """The directory that the specs were applied from."""
        return str(self._directory)

    @property
    def commit_id(self) -> str | None:
        """The commit that was applied; None if the work tree differed from it, or is not in a repository."""
        commit = self._file.load().get("commit")
        return commit if isinstance(commit, str) else None

    def read(self) -> Mapping[str, str]:
        """Return the texts that were applied last. Raises ControlError if none were applied."""
        texts = self._file.load().get("texts")
        if not isinstance(texts, dict):
            raise ControlError("no specs were applied yet", hint="run `bateau apply --env NAME`")
        return {name: text for name, text in texts.items() if isinstance(text, str)}

    async def changes(self) -> AsyncIterator[None]:
        """Yield after every `apply`."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield

    def apply(self, given: Applied) -> None:
        """Make `given` the desired state. Raises ControlError if it cannot be written."""
        self._file.save({"texts": dict(given.texts), "commit": given.commit})
        self._changed.set()
