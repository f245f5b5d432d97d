"""Decide which keys and models have used up their tokens, and until when requests are refused.

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
from bateau.domain.used import Refusal, Used
from bateau.domain.workload import Limits

_MINUTE_S: Final = 60.0


# Who has used tokens of which model; None for a key: all together, for a model: all of them.
_Subject = tuple[str | None, str | None]


class Spending:
    """The tokens that were used in the last minute by each key, of each model, and by each key of each model.

    Also those that each key has used today, and this month.
    """

    def __init__(self) -> None:
        self._minute: defaultdict[_Subject, list[tuple[float, int]]] = defaultdict(list)
        self._by: defaultdict[tuple[str, str], int] = defaultdict(int)  # by key, and by day or month

    def add(self, used: Used) -> None:
        """Charge a request to its key and its model, at the time when it ended."""
        tokens = _tokens(used)
        if not tokens:
            return
        subjects: set[_Subject] = {(used.key, None), (None, used.model), (used.key, used.model)} - {(None, None)}
        for subject in subjects:
            self._minute[subject].append((used.ended_at, tokens))
        if used.key is not None:
            for period in (_day(used.ended_at), _month(used.ended_at)):
                self._by[used.key, period] += tokens

    def refused_at_models(self, limits: Mapping[str, Limits], now: float) -> list[Refusal]:
        """Return which requests for models are refused, and until when; `limits` are those of models, by name."""
        self._forget(now)
        found: list[Refusal] = []
        for key, model in self._minute:
            known = limits.get(model or "")
            if model is None or known is None:
                continue
            limit = known.tokens_per_minute if key is None else known.per_key.tokens_per_minute
            if limit is not None and (until := self._minute_until((key, model), limit)):
                found.append(Refusal(model=model, key=key, until=until))
        return found

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
        if key.tokens_per_minute is not None and (until := self._minute_until((key.name, None), key.tokens_per_minute)):
            found["minute"] = until
        if key.tokens_per_day is not None and self._by[key.name, _day(now)] >= key.tokens_per_day:
            found["day"] = _next_day(now)
        if key.tokens_per_month is not None and self._by[key.name, _month(now)] >= key.tokens_per_month:
            found["month"] = _next_month(now)
        return found

    def _minute_until(self, subject: _Subject, limit: int) -> float | None:
        """Return when enough of the last minute is over; None if less than the limit was used."""
        used = sorted(self._minute.get(subject, ()))
        left = sum(tokens for _, tokens in used)
        until = None
        for ended, tokens in used:
            if left < limit:
                break
            left -= tokens
            until = ended + _MINUTE_S
        return until

    def _forget(self, now: float) -> None:
        for subject, used in list(self._minute.items()):
            kept = [each for each in used if each[0] > now - _MINUTE_S]
            if kept:
                self._minute[subject] = kept
            else:
                del self._minute[subject]
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
