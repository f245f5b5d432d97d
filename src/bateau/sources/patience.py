"""Decide when a failed request is retried, and how often.

Called by sources.

Invariant: if a server says when to retry, it gets no earlier request. Held by tests/sources/test_patience.py.
"""

import asyncio
import logging
from dataclasses import dataclass

from bateau.domain.errors import SourceUnreachable
from bateau.sources.http import CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S

logger = logging.getLogger(__name__)


class NobodyThere(SourceUnreachable):
    """No connection could be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The rules for retries. Delays in seconds double up to a ceiling.

    After `tries` in a row without a new byte, the request fails. `tries_first` is the limit for an address that has
    never answered, because most likely no server is there. `retry_after_s_max` is the longest Retry-After to wait for;
    a server that asks for more gets no further request.
    """

    tries: int = 5
    tries_first: int = 2
    delay_s_first: float = 0.5
    delay_s_ceiling: float = 8.0
    retry_after_s_max: float = 300.0
    connect_s: float = CONNECT_TIMEOUT_S
    silence_s: float = SILENCE_TIMEOUT_S

    def delay_s(self, failures: int) -> float:
        """Return the delay in seconds after this many failures in a row."""
        return min(self.delay_s_first * 2.0 ** (failures - 1), self.delay_s_ceiling)


class Tries:
    """The tries of one request."""

    def __init__(self, patience: Patience, *, position: int = 0) -> None:
        self._patience = patience
        self._best = position
        self._failures = 0
        self._answered = False

    async def wait(self, error: SourceUnreachable, *, position: int = 0) -> None:
        """Wait until the next try. `position` is the number of bytes received. Raises `error` after the last try."""
        patience = self._patience
        self._answered = self._answered or not isinstance(error, NobodyThere)
        self._failures = 1 if position > self._best else self._failures + 1
        self._best = max(self._best, position)
        asked_s = error.retry_after_s or 0.0
        if asked_s > patience.retry_after_s_max:
            error.hint = error.hint or f"the server asks to retry in {asked_s:.0f} s"
            raise error
        if self._failures >= (patience.tries if self._answered else patience.tries_first):
            raise error
        delay_s = max(patience.delay_s(self._failures), asked_s)
        logger.info("%s; retrying in %.1f s", error.message, delay_s)
        await asyncio.sleep(delay_s)
