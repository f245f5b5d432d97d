"""The events of limits: which key or model has used up what it may use, and until when its requests are refused.

Called by wiring.budgets. Pure: it is given the time.

Invariant: a limit that is reached again and again, as one per minute may be, is one event in `AGAIN_S`. Held by
tests/control/test_limit_events.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bateau.domain.event import Event
from bateau.domain.timeline import SERVICE
from bateau.domain.used import Refusal
from bateau.kit.rfc3339 import rfc3339

AGAIN_S: Final = 600.0
# The name of a limit, its key and its model.
_Limit = tuple[str, str | None, str | None]


class LimitEvents:
    """Knows which limits are reached, and which events were returned."""

    def __init__(self) -> None:
        self._reached: set[_Limit] = set()
        self._returned_at: dict[_Limit, float] = {}

    def new(
        self, refused: Mapping[str, Mapping[str, float]], at_models: Sequence[Refusal], now: float
    ) -> Iterator[Event]:
        """Yield an event for each limit that is reached since the last call."""
        limits = _limits(refused, at_models)
        self._returned_at = {limit: at for limit, at in self._returned_at.items() if now - at < AGAIN_S}
        for limit in limits.keys() - self._reached - self._returned_at.keys():
            self._returned_at[limit] = now
            yield _event(limit, limits[limit], now)
        self._reached = set(limits)


def _limits(refused: Mapping[str, Mapping[str, float]], at_models: Sequence[Refusal]) -> Mapping[_Limit, float]:
    found: dict[_Limit, float] = {("minute", each.key, each.model): each.until for each in at_models}
    for name, keys in refused.items():
        found.update({(name, key, None): until for key, until in keys.items()})
    return found


def _event(limit: _Limit, until: float, now: float) -> Event:
    name, key, model = limit
    unit, _, period = name.rpartition("-")
    what = f"{unit or 'tokens'} per {period}"
    whose = f"the key {key}" if key else "all clients together"
    at = f" at model {model}" if model else ""
    fields = {**({"key": key} if key else {}), **({SERVICE: f"model/{model}"} if model else {})}
    return Event(
        when_s=now,
        subject=f"model/{model}" if model else f"key {key}",
        reason="LimitReached",
        says=f"{whose} used up the {what}{at}: requests are refused until {rfc3339(until)}",
        warning=True,
        fields=fields,
    )
