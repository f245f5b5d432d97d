"""Decide which keys have used up their tokens, and until when they are refused.

Called by wiring.budgets. Pure: it is given the requests and the time.

Invariant: a restart forgets nothing that counts: the same requests in any order give the same decisions. Held by
tests/control/test_budgets.py::test_the_order_of_requests_does_not_matter.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from bateau.domain.api_key import ApiKey
from bateau.domain.used import Used

_MINUTE_S: Final = 60.0


class Spending:
    """The tokens that each key has used in the last minute, today, and this month."""

    def __init__(self) -> None:
        self._minute: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        self._by: defaultdict[tuple[str, str], int] = defaultdict(int)  # by key, and by day or month

    def add(self, used: Used) -> None:
        """Charge a request to its key, at the time when it ended."""
        tokens = _tokens(used)
        if used.key is None or not tokens:
            return
        ended = used.at + (used.duration_ms or 0) / 1000
        self._minute[used.key].append((ended, tokens))
        for period in (_day(ended), _month(ended)):
            self._by[used.key, period] += tokens

    def refused(self, keys: Iterable[ApiKey], now: float) -> Mapping[str, Mapping[str, float]]:
        """Return until when keys are refused, by period ("minute", "day", "month") and by name."""
        self._forget(now)
        found: dict[str, dict[str, float]] = {}
        for key in keys:
            for period, until in self._of(key, now).items():
                found.setdefault(period, {})[key.name] = until
        return found

    def _of(self, key: ApiKey, now: float) -> Mapping[str, float]:
        found: dict[str, float] = {}
        if key.tokens_per_minute is not None and (until := self._minute_until(key.name, key.tokens_per_minute)):
            found["minute"] = until
        if key.tokens_per_day is not None and self._by[key.name, _day(now)] >= key.tokens_per_day:
            found["day"] = _next_day(now)
        if key.tokens_per_month is not None and self._by[key.name, _month(now)] >= key.tokens_per_month:
            found["month"] = _next_month(now)
        return found

    def _minute_until(self, name: str, limit: int) -> float | None:
        """Return when enough of the last minute is over; None if less than the limit was used."""
        used = sorted(self._minute[name])
        left = sum(tokens for _, tokens in used)
        until = None
        for ended, tokens in used:
            if left < limit:
                break
            left -= tokens
            until = ended + _MINUTE_S
        return until

    def _forget(self, now: float) -> None:
        for name, used in list(self._minute.items()):
            kept = [each for each in used if each[0] > now - _MINUTE_S]
            if kept:
                self._minute[name] = kept
            else:
                del self._minute[name]
        for at in [at for at in self._by if at[1] < _month(now)]:
            del self._by[at]


def _tokens(used: Used) -> int:
    """Return the tokens to charge: an estimate where an answer does not say them, or a client could use them for free.

    A token of a question has about four characters, and an event of a stream, with one token, about 200.
    """
    if used.tokens_in is None and used.tokens_out is None and used.status == HTTPStatus.OK:
        return used.bytes_in // 4 + used.bytes_out // 200
    return (used.tokens_in or 0) + (used.tokens_out or 0)


def first_of_month(now: float) -> float:
    """Return when the month of a time began, in seconds since the epoch.

    >>> first_of_month(0.0)
    0.0
    """
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _month(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def _next_day(now: float) -> float:
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=1)).timestamp()


def _next_month(now: float) -> float:
    in_next = datetime.fromtimestamp(first_of_month(now), UTC) + timedelta(days=32)
    return first_of_month(in_next.timestamp())
