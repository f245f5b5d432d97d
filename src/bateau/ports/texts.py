"""Where specs come from. Satisfied by sources.SpecFiles and testing.FakeTexts."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol


class Texts(Protocol):
    """The spec files as they are now, and a sign whenever they may have changed."""

    @property
    def place(self) -> str:
        """Where they lie, for people: a directory."""
        ...

    @property
    def commit_id(self) -> str | None:
        """The commit that `read` returns, None where the texts are of no commit."""
        ...

    def read(self) -> Mapping[str, str]:
        """Return the content of every spec file by its name. Raises BateauError where the place can't be read."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Yield whenever something may have changed."""
        ...
