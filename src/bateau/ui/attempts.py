"""Sign-ins by an issuer that were begun and have not ended: each is bound to one browser, and ends once.

Called by ui.dashboard and ui.sign_in. Sources: RFC 6749, section 10.12; RFC 9700, sections 2.1.1, 4.4 and 4.7.

Only digests are kept of the state in the address and of the secret in the cookie of the browser.

Invariant: an attempt ends once, in the browser that has begun it, within five minutes. Held by
tests/ui/test_attempts.py::test_an_attempt_ends_once,
tests/ui/test_attempts.py::test_an_attempt_of_another_browser_does_not_end and
tests/ui/test_attempts.py::test_an_attempt_expires.
Refused: attempts in a signed cookie, without memory. A code and a nonce could be sent a second time.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bateau.wiring.sign_in import Attempt

ATTEMPT_S: Final = 300.0
# More than the gateway lets begin in that time (50 pages in a second), so nobody's attempt has to make room.
ATTEMPTS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    attempt: Attempt
    to: str
    browser: str
    until: float


class Attempts:
    """The attempts of one control plane. `clock` returns seconds that never go backwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun: dict[str, _Begun] = {}

    def begin(self, attempt: Attempt, *, to: str) -> tuple[str, str]:
        """Return the state of an attempt, and the secret of its browser. `to` is where it leads to."""
        state, browser, now = secrets.token_urlsafe(32), secrets.token_urlsafe(32), self._clock()
        while self._begun:
            oldest = next(iter(self._begun))
            if now < self._begun[oldest].until and len(self._begun) < ATTEMPTS_MAX:
                break
            del self._begun[oldest]
        self._begun[_digest(state)] = _Begun(attempt=attempt, to=to, browser=_digest(browser), until=now + ATTEMPT_S)
        return state, browser

    def end(self, state: str, browser: str) -> tuple[Attempt, str] | None:
        """Return an attempt and where it leads to; None if it is unknown, expired or of another browser."""
        found = self._begun.pop(_digest(state), None)
        if found is None or self._clock() >= found.until or not hmac.compare_digest(found.browser, _digest(browser)):
            return None
        return found.attempt, found.to


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
