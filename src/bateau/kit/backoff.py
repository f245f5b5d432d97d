"""Compute the delay before the next retry: none, one second, two, four, up to a ceiling.

Called by control.fetches, control.reconciler, runtimes, sources.git.follow, wiring.alert_delivery,
wiring.followed_bundle and wiring.spans. Takes no clock and draws no random number.

Invariant: the same failures and the same seed give the same delay, so that a log explains the wait. Held by
tests/kit/test_backoff.py.
Refused: full random jitter; two runs of one test would differ, and a seed by name spreads retries as well.
"""

from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential delays in seconds. `jitter` is the largest share of a delay that the seed may subtract, 0 to 1."""

    initial_s: float = 1.0
    ceiling_s: float = 60.0
    factor: float = 2.0
    jitter: float = 0.0

    def delay_s(self, failures: int, *, seed: str = "") -> float:
        """Return the seconds to wait after so many consecutive failures; 0 without failures.

        >>> [Backoff().delay_s(failures) for failures in (0, 1, 2, 3, 7, 5000)]
        [0.0, 1.0, 2.0, 4.0, 60.0, 60.0]
        >>> 30 <= Backoff(jitter=0.5).delay_s(9, seed="model.chat.0") <= 60
        True
        """
        if failures <= 0:
            return 0.0
        delay = self.initial_s
        for _ in range(failures - 1):
            if delay >= self.ceiling_s or self.factor <= 1:
                break
            delay *= self.factor
        share = crc32(f"{seed}/{failures}".encode()) / 0xFFFFFFFF
        return min(delay, self.ceiling_s) * (1.0 - self.jitter * share)
