"""One-time links and sessions: used once, in time, and with the role that they were made for."""

import pytest

from bateau.domain.sign_in import ROLES, Person, Role
from bateau.ui.sessions import IDLE_S, LINK_S, LINKS_MAX, Sessions
from domain.test_sign_in import an_issuer


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


def test_a_link_opens_one_session(sessions: Sessions) -> None:
    link = sessions.link("operate")
    secret = sessions.open(link)
    assert secret is not None
    found = sessions.find(secret)
    assert found is not None and found.role == "operate"
    assert sessions.open(link) is None, "it was used"
    assert sessions.open("guessed") is None
    assert sessions.find(link) is None, "a link is not a session"


def test_a_link_expires(sessions: Sessions, clock: Clock) -> None:
    in_time, late = sessions.link("view"), sessions.link("view")
    clock.now += LINK_S - 1
    assert sessions.open(in_time) is not None
    clock.now += 1
    assert sessions.open(late) is None


def test_an_idle_session_is_closed(sessions: Sessions, clock: Clock) -> None:
    secret = sessions.open(sessions.link("admin"))
    assert secret is not None
    clock.now += IDLE_S - 1
    assert sessions.find(secret) is not None, "which is a use"
    clock.now += IDLE_S - 1
    assert sessions.find(secret) is not None
    clock.now += IDLE_S
    assert sessions.find(secret) is None


def test_a_session_that_is_closed_is_gone(sessions: Sessions) -> None:
    secret = sessions.open(sessions.link("admin"))
    assert secret is not None
    sessions.close(secret)
    assert sessions.find(secret) is None


def test_a_restart_ends_all_sessions(sessions: Sessions, clock: Clock) -> None:
    secret = sessions.open(sessions.link("admin"))
    assert secret is not None
    assert Sessions(clock).find(secret) is None


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_the_rights_of_those_below_it(sessions: Sessions, role: Role) -> None:
    secret = sessions.open(sessions.link(role))
    session = sessions.find(secret or "")
    assert session is not None
    assert [each for each in ROLES if session.may(each)] == list(ROLES[: ROLES.index(role) + 1])


def test_links_are_bounded_and_the_oldest_make_room(sessions: Sessions) -> None:
    first = sessions.link("view")
    last = [sessions.link("view") for _ in range(LINKS_MAX)][-1]
    assert sessions.open(first) is None
    assert sessions.open(last) is not None


def test_no_secret_is_kept(sessions: Sessions) -> None:
    link = sessions.link("admin")
    secret = sessions.open(sessions.link("admin"))
    assert secret is not None
    kept = str(vars(sessions))
    assert link not in kept
    assert secret not in kept


def test_a_session_ends_with_its_issuer(clock: Clock) -> None:
    admitted = True
    sessions = Sessions(clock, lambda _: admitted)
    person = Person(issuer=an_issuer(), subject="4711", name="ada", full_name="Ada", email=None)
    by_issuer, by_link = sessions.begin("operate", person), sessions.open(sessions.link("admin"))
    found = sessions.find(by_issuer)
    assert found and found.actor == "ada (corp)"
    admitted = False
    assert sessions.find(by_issuer) is None
    admitted = True
    assert sessions.find(by_issuer) is None, "it does not come back"
    by_link_found = sessions.find(by_link or "")
    assert by_link_found and by_link_found.actor == "the dashboard (admin)"
