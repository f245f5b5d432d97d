"""What a store of revisions offers. Used by rollback, promote and history; satisfied by store.RevisionStore."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bateau.domain.revision import Draft, Outcome, Revision


class Revisions(Protocol):
    """Remembers what ran. Whatever a call has returned from survives kill -9. All raise ControlError."""

    def record(self, draft: Draft) -> Revision:
        """Keep a new revision, and return it with its id."""
        ...

    def mark(self, revision_id: int, *, when_s: float, says: str, outcome: Outcome | None = None) -> None:
        """Add an event to a revision; with `outcome`, that is what came of it."""
        ...

    def last_healthy(
        self, environment: str, *, service: str | None = None, before: int | None = None
    ) -> Revision | None:
        """Return the newest healthy revision: of those with `service`, and older than `before`.

        With both, the service was another one then than it is in `before`: what a rollback of it goes back to.
        """
        ...

    def history(
        self, environment: str | None = None, *, service: str | None = None, limit: int = 50
    ) -> Sequence[Revision]:
        """Return revisions, newest first, with their events."""
        ...

    def get(self, revision_id: int) -> Revision | None:
        """Return one revision with its events, or None where there is none."""
        ...

    def content(self, revision_id: int) -> Mapping[str, str]:
        """Return the texts that were recorded, checked against their digest."""
        ...
