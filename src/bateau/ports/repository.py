"""What a Git repository and its forge offer. Satisfied by sources.git and sources.forge; used by plan and promote."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bateau.domain.revision import Commit

State = Literal["pending", "success", "failure", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A commit to be made: texts by path from the repository's top (None removes), on a new branch.

    `author` is "Name <mail>"; `when_s` seconds since the epoch.
    """

    branch: str
    texts: Mapping[str, str | None]
    message: str
    author: str
    when_s: int


class Repository(Protocol):
    """Commits that can be read, and made, without a work tree. All raise the SourceError family."""

    async def commit(self, revision: str) -> Commit:
        """Return the commit that a branch, a tag, `HEAD~1` or an id names."""
        ...

    async def texts_at(self, revision: str) -> Mapping[str, str]:
        """Return the spec files of a commit by name."""
        ...

    async def commit_on_branch(self, base: str, change: Change) -> Commit:
        """Make a commit above `base` on a new branch. No work tree and no index is touched."""
        ...


class Forge(Protocol):
    """Where pull requests are talked about. All raise the SourceError family."""

    async def set_status(self, commit: str, state: State, *, description: str, url: str | None = None) -> None:
        """Show a state beside a commit."""
        ...

    async def upsert_comment(self, pull_request: int, marker: str, *pages: str) -> None:
        """Write the comments that bear the hidden `marker`, one per page, over the existing ones.

        Comments of an earlier text that had more pages are deleted.
        """
        ...
