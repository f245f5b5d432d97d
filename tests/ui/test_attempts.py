"""Sign-ins that were begun: each ends once, in time, in its own browser."""

from bateau.ui.attempts import ATTEMPT_S, ATTEMPTS_MAX, Attempts
from bateau.wiring.sign_in import Attempt
from domain.test_sign_in import an_issuer

ATTEMPT = Attempt(issuer=an_issuer(), redirect_uri="http://127.0.0.1/ui/sign-in/corp/callback")


class Now:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_an_attempt_ends_once() -> None:
    attempts = Attempts(Now())
    state, browser = attempts.begin(ATTEMPT, to="/usage")
    assert attempts.end(state, browser) == (ATTEMPT, "/usage")
    assert attempts.end(state, browser) is None


def test_an_attempt_of_another_browser_does_not_end() -> None:
    attempts = Attempts(Now())
    state, _ = attempts.begin(ATTEMPT, to="/")
    _, other = attempts.begin(ATTEMPT, to="/")
    assert attempts.end(state, other) is None
    state, browser = attempts.begin(ATTEMPT, to="/")
    assert attempts.end("forged", browser) is None
    assert attempts.end("", "") is None
    assert attempts.end(state, "") is None


def test_an_attempt_expires() -> None:
    attempts = Attempts(now := Now())
    early, late = attempts.begin(ATTEMPT, to="/"), attempts.begin(ATTEMPT, to="/")
    now.s += ATTEMPT_S - 1
    assert attempts.end(*early)
    now.s += 1
    assert attempts.end(*late) is None


def test_attempts_are_bounded_and_expired_ones_are_forgotten() -> None:
    attempts = Attempts(now := Now())
    first = attempts.begin(ATTEMPT, to="/")
    last = [attempts.begin(ATTEMPT, to="/") for _ in range(ATTEMPTS_MAX)][-1]
    assert attempts.end(*first) is None
    now.s += ATTEMPT_S
    attempts.begin(ATTEMPT, to="/")
    assert len(vars(attempts)["_begun"]) == 1
    assert attempts.end(*last) is None


def test_no_secret_of_an_attempt_is_kept() -> None:
    attempts = Attempts(Now())
    state, browser = attempts.begin(ATTEMPT, to="/")
    kept = str(vars(attempts))
    assert not any(each in kept for each in (state, browser, ATTEMPT.nonce, ATTEMPT.verifier))
