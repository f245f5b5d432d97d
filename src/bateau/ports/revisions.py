"""The port of a store of revisions. Used by rollback, promote and history; satisfied by store.RevisionStore."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bateau.domain.revision import Draft, Outcome, Revision


class Revisions(Protocol):
    """Stores released revisions. Once a call has returned, its effect survives kill -9. All raise ControlError."""

    def record(self, draft: Draft) -> Revision:
        """Store a new revision, and return it with its id."""
        ...

    def mark(self, revision_id: int, *, when_s: float, says: str, outcome: Outcome | None = None) -> None:
        """Add an event to a revision, and set its outcome if `outcome` is given."""
        ...

    def last_healthy(
        self, environment: str, *, service: str | None = None, before: int | None = None
    ) -> Revision | None:
        """Return the newest healthy revision: of those with `service`, and older than `before`.

        With both, only revisions whose `service` differs from the one in `before` count: the target of a rollback.
        """
        ...

    def history(
        self, environment: str | None = None, *, service: str | None = None, limit: int = 50
    ) -> Sequence[Revision]:
        """Return revisions, newest first, with their events."""
        ...

    def newest_of(self, environment: str) -> Mapping[str, int]:
        """Return every service that a revision of an environment has ever had, with the newest such revision."""
        ...

    def get(self, revision_id: int) -> Revision | None:
        """Return one revision with its events, or None if it does not exist."""
        ...

    def content(self, revision_id: int) -> Mapping[str, str]:
        """Return the recorded texts, checked against their digest."""
        ...
