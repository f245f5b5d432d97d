"""Spec files in memory, that a test writes and the loop reads.

Invariant: every `write` and `remove` reports a change; none is lost. Held by tests/ports/test_fakes.py.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

from bateau.domain.errors import BateauError


class FakeTexts:
    """Satisfies `bateau.ports.texts.Texts`. `trouble` is the error that `read` raises while it is set."""

    def __init__(self, **files: str) -> None:
        self._files = {f"{name}.yaml": text for name, text in files.items()}
        self._changed = asyncio.Event()
        self.trouble: BateauError | None = None

    @property
    def place(self) -> str:
        """A directory that does not exist."""
        return "/specs"

    @property
    def commit_id(self) -> str | None:
        """No commit."""
        return None

    def read(self) -> Mapping[str, str]:
        """Return the current files. Raises `trouble` if the test has set it."""
        if self.trouble:
            raise self.trouble
        return dict(self._files)

    async def changes(self) -> AsyncIterator[None]:
        """Yield whenever the test has written or removed a file."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield

    def write(self, name: str, text: str) -> None:
        """Write the file `name`.yaml."""
        self._files[f"{name}.yaml"] = text
        self._changed.set()

    def remove(self, name: str) -> None:
        """Remove the file `name`.yaml."""
        del self._files[f"{name}.yaml"]
        self._changed.set()

    def touch(self) -> None:
        """Report a change although no file has changed."""
        self._changed.set()
