"""The port of a source of specs. Satisfied by sources.SpecFiles and testing.FakeTexts."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol


class Texts(Protocol):
    """The current spec files, and a notification whenever they may have changed."""

    @property
    def place(self) -> str:
        """Their directory, for display."""
        ...

    @property
    def commit_id(self) -> str | None:
        """The commit that `read` returns, None if the texts do not come from a commit."""
        ...

    def read(self) -> Mapping[str, str]:
        """Return the content of every spec file by its name. Raises BateauError if the files cannot be read."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Yield whenever a file may have changed."""
        ...
