"""The ports of a Git repository and its forge. Satisfied by sources.git and sources.forge; used by plan and promote."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bateau.domain.revision import Commit

State = Literal["pending", "success", "failure", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A new commit: texts by path from the repository's top (None removes a file), on a new branch.

    `author` is "Name <mail>", and so is `committer`, None: the author. `when_s` is in seconds since the epoch.
    """

    branch: str
    texts: Mapping[str, str | None]
    message: str
    author: str
    when_s: int
    committer: str | None = None


class Repository(Protocol):
    """Reads and creates commits without a work tree. All methods raise the SourceError family."""

    async def commit(self, revision: str) -> Commit:
        """Return the commit of a branch, a tag, `HEAD~1` or an ID."""
        ...

    async def texts_at(self, revision: str) -> Mapping[str, str]:
        """Return the spec files of a commit by name."""
        ...

    async def commit_on_branch(self, base: str, change: Change) -> Commit:
        """Create a commit on top of `base` on a new branch. Work tree and index are not changed."""
        ...


class Forge(Protocol):
    """The host of pull requests. All methods raise the SourceError family."""

    async def set_status(self, commit: str, state: State, *, description: str, url: str | None = None) -> None:
        """Set the status of a commit."""
        ...

    async def upsert_comment(self, pull_request: int, marker: str, *pages: str) -> None:
        """Write the comments with the hidden `marker`, one per page, and replace the existing ones.

        Comments of an earlier text that had more pages are deleted.
        """
        ...
