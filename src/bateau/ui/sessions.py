"""One-time links, and the sessions that they and issuers open.

Called by ui.

Only digests are kept, and only in memory: a restart of the control plane ends all sessions.

Invariant: a link opens one session, within five minutes. Held by
tests/ui/test_sessions.py::test_a_link_opens_one_session and tests/ui/test_sessions.py::test_a_link_expires.
Invariant: a session that was not used for twelve hours is closed. Held by
tests/ui/test_sessions.py::test_an_idle_session_is_closed.
Invariant: a session of a person ends when its issuer is removed or changed. Held by
tests/ui/test_sessions.py::test_a_session_ends_with_its_issuer.
Refused: a cookie that is signed instead of looked up. It could not be ended before its time.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bateau.domain.sign_in import ROLES, Person, Role
from bateau.ui.drafts import Draft, Notice, Planned, PlanOf

CSRF_FIELD: Final = "csrf"
LINK_S: Final = 300.0
IDLE_S: Final = 12 * 3600.0
LINKS_MAX: Final = 100
SESSIONS_MAX: Final = 1000
_BYTES: Final = 32


@dataclass(slots=True)
class Session:
    """The session of a browser that was opened by a link, or by a `person` who has signed in by an issuer.

    `token` proves that a form was sent from a page of this session.

    `draft` are the changes of specs that are not applied yet; `planned` is its plan, which depends on `planned_of`.
    `notice` is for the next page.
    """

    role: Role
    token: str
    used_at: float
    person: Person | None = None
    draft: Draft = field(default_factory=Draft)
    planned: Planned | None = None
    planned_of: PlanOf | None = None
    notice: Notice | None = None

    def may(self, role: Role) -> bool:
        """Whether the session has a role, or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)

    @property
    def actor(self) -> str:
        """The name of the actor in the timeline and in logs."""
        return self.person.actor if self.person else f"the dashboard ({self.role})"

    @property
    def who(self) -> str | None:
        """The person of this session, None for one by a link: that is as good as the user of this machine."""
        return self.person.actor if self.person else None

    def is_own(self, token: str | None) -> bool:
        """Whether a form was sent from a page of this session."""
        return token is not None and hmac.compare_digest(token.encode(), self.token.encode())


class Sessions:
    """The links and sessions of one control plane.

    `clock` returns seconds that never go backwards. The session of a person lasts while `admits` is true.
    """

    def __init__(self, clock: Callable[[], float], admits: Callable[[Person], bool] = lambda _: False) -> None:
        self.clock = clock
        self._admits = admits
        self._links: dict[str, tuple[Role, float]] = {}
        self._sessions: dict[str, Session] = {}

    def link(self, role: Role) -> str:
        """Return the secret of a new link. The oldest links make room for it."""
        secret, now = secrets.token_urlsafe(_BYTES), self.clock()
        self._links = {digest: each for digest, each in self._links.items() if now < each[1]}
        while len(self._links) >= LINKS_MAX:
            del self._links[next(iter(self._links))]
        self._links[_digest(secret)] = (role, now + LINK_S)
        return secret

    def open(self, link: str) -> str | None:
        """Use up a link, and return the secret of its session; None if the link is unknown, used or expired."""
        role, until = self._links.pop(_digest(link), (None, 0.0))
        return None if role is None or self.clock() >= until else self.begin(role)

    def begin(self, role: Role, person: Person | None = None) -> str:
        """Open a session, and return its secret. The sessions that were not used for longest make room for it."""
        now = self.clock()
        self._sessions = {digest: each for digest, each in self._sessions.items() if not _is_idle(each, now)}
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda digest: self._sessions[digest].used_at)]
        secret = secrets.token_urlsafe(_BYTES)
        self._sessions[_digest(secret)] = Session(
            role=role, token=secrets.token_urlsafe(_BYTES), used_at=now, person=person
        )
        return secret

    def find(self, secret: str) -> Session | None:
        """Return a session, and note that it is used."""
        found, now = self._sessions.get(_digest(secret)), self.clock()
        if found is None or _is_idle(found, now) or (found.person and not self._admits(found.person)):
            self.close(secret)
            return None
        found.used_at = now
        return found

    def close(self, secret: str) -> None:
        """Close a session."""
        self._sessions.pop(_digest(secret), None)


def _is_idle(session: Session, now: float) -> bool:
    return now - session.used_at >= IDLE_S


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
