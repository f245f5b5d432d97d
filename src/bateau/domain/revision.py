"""The history of an environment: the commits that were read, and the revisions that were made from them.

Commits are made by sources.git; revisions by store.revisions; both are read by plan's faces, rollback and history.

Invariant: every time is in seconds since the epoch and comes from the caller; nothing here takes a clock. Held by
tests/test_house.py::test_the_import_contracts_hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Signature = Literal["not checked", "unsigned", "good", "bad", "unknown signer", "not ssh"]
Outcome = Literal["planned", "applied", "healthy", "failed", "rolled back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit. `when_s` is the committer's time; `signer` is the principal of the allowed-signers file."""

    id: str
    author: str
    when_s: int
    subject: str
    signature: Signature = "not checked"
    signer: str | None = None

    @property
    def short(self) -> str:
        """The first twelve digits of the id, as people quote them."""
        return self.id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a revision: a new outcome, or a remark (`outcome` is None)."""

    when_s: float
    says: str
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A revision before it is recorded. `services` maps keys ("app/shop") to the digest of each service.

    `pins` maps each service that a rollback holds to the revision with its content; `says` is the first event.
    """

    environment: str
    content: Mapping[str, str] = field(repr=False)
    services: Mapping[str, str]
    who: str
    when_s: float
    commit: str | None = None
    outcome: Outcome = "planned"
    pins: Mapping[str, int] = field(default_factory=dict[str, int])
    says: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One recorded release of an environment. `digest` is the sha256 of its content; ids only increase."""

    id: int
    environment: str
    digest: str
    services: Mapping[str, str]
    who: str
    when_s: float
    commit: str | None
    outcome: Outcome
    pins: Mapping[str, int] = field(default_factory=dict[str, int])
    events: tuple[Event, ...] = ()
