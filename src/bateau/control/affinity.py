"""Decide for which models affinity is on: it is off while the requests that are balanced without it are faster.

Called by control.current_traffic, control.loop and wiring.affinity. Pure: it is given the requests and the time.

The gateway balances a few requests of each conversation without affinity, by chance, and the ledger says which. So both
kinds meet the same prompts and the same load, and the logarithms of their times to first byte can be compared.

Invariant: affinity is turned off where the requests without it are faster by more than chance, and else stays on. Held
by tests/control/test_affinity.py.
"""

import math
import statistics
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from bateau.domain.balanced import KINDS, measured
from bateau.domain.status import AffinityStatus
from bateau.domain.used import Used

# Fewer requests of a kind are not compared, and only the newest of the last hour are.
REQUESTS_MIN: Final = 30
_REQUESTS_MAX: Final = 500
_WINDOW_S: Final = 3600.0
# By how much affinity must be slower, and by how many standard errors: the two are compared again and again.
_SLOWER: Final = math.log(1.05)
_SURE: Final = 3.0
# It is tried again after a while, each time a longer one, unless it was on for long.
PAUSE_S: Final = 900.0
PAUSE_S_MAX: Final = 6 * 3600.0
_PROVEN_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Off:
    """A decision that affinity is off until a time, in seconds since the epoch, and for how long it is off next."""

    until: float
    pause_s: float
    says: str


@dataclass(slots=True)
class _Watched:
    """One model. Times to first byte are kept as (when the answer ended, logarithm of milliseconds)."""

    on_since: float
    times: dict[str, deque[tuple[float, float]]] = field(
        default_factory=lambda: {kind: deque(maxlen=_REQUESTS_MAX) for kind in KINDS}
    )
    off_until: float | None = None
    pause_s: float = PAUSE_S
    says: str = ""


class Affinity:
    """The models with affinity of one control plane. `unavailable` says why no model can have it."""

    def __init__(self, unavailable: str | None = None) -> None:
        self._unavailable = unavailable
        self._models: dict[str, _Watched] = {}
        self._restored: dict[str, _Watched] = {}  # models that are not known to be served yet
        self.off: frozenset[str] = frozenset()  # the names of the models for which it has turned itself off

    @property
    def is_available(self) -> bool:
        """Whether the gateway can balance by conversations."""
        return self._unavailable is None

    def is_on(self, model: str) -> bool:
        """Whether a model whose spec asks for affinity has it now."""
        return self.is_available and model not in self.off

    def restore(self, kept: Mapping[str, Off]) -> None:
        """Take over the decisions of an earlier control plane, as `kept` returned them."""
        self._restored = {
            name: _Watched(on_since=0.0, off_until=each.until, pause_s=each.pause_s, says=each.says)
            for name, each in kept.items()
        }
        self.off = frozenset(self._restored)

    def kept(self) -> Mapping[str, Off]:
        """Return the models for which it is off."""
        return {
            name: Off(until=each.off_until, pause_s=each.pause_s, says=each.says)
            for name, each in self._all().items()
            if each.off_until is not None
        }

    def follow(self, requests: Iterable[Used], models: Collection[str], now: float) -> bool:
        """Compare the new requests for `models`, which ask for affinity; return whether a decision has changed."""
        self._models = {
            name: self._models.get(name) or self._restored.pop(name, None) or _Watched(on_since=now) for name in models
        }
        for used in requests:
            self._add(used)
        for model in self._all().values():
            _decide(model, now)
        before, self.off = self.off, frozenset(self.kept())
        return before != self.off

    def status(self, model: str, *, wanted: bool) -> AffinityStatus:
        """Return whether a model has affinity now, and why; `wanted`: its spec asks for it."""
        if not wanted:
            return AffinityStatus(on=False, says="spec.affinity is none")
        if self._unavailable is not None:
            return AffinityStatus(on=False, says=self._unavailable)
        if model in self.off:
            return AffinityStatus(on=False, says=self._all()[model].says)
        return AffinityStatus(on=True, says="the turns of a conversation go to one replica")

    def _all(self) -> Mapping[str, _Watched]:
        return {**self._restored, **self._models}

    def _add(self, used: Used) -> None:
        model = self._models.get(used.model or "")
        times = model.times.get(used.balanced_by or "") if model else None
        log = measured(used)
        if model is None or times is None or log is None:
            return
        if used.ended_at >= model.on_since and model.off_until is None:
            times.append((used.ended_at, log))


def _decide(model: _Watched, now: float) -> None:
    model.on_since = min(model.on_since, now)  # the clock may have been set back
    if model.off_until is not None:
        if not now < model.off_until <= now + PAUSE_S_MAX:
            model.off_until, model.on_since = None, now
        return
    for times in model.times.values():
        while times and times[0][0] < now - _WINDOW_S:
            times.popleft()
    compared = compare({kind: [log for _, log in times] for kind, times in model.times.items()})
    if compared is None or not compared.is_slower:
        return
    if now - model.on_since >= _PROVEN_S:
        model.pause_s = PAUSE_S
    model.off_until = now + model.pause_s
    until = datetime.fromtimestamp(model.off_until, UTC).strftime("%Y-%m-%d %H:%M UTC")
    model.says = f"it has turned itself off until {until}: {compared.says}"
    model.pause_s = min(PAUSE_S_MAX, 2 * model.pause_s)
    for times in model.times.values():
        times.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The times to first byte with affinity beside those without: geometric means, in milliseconds."""

    prefix_ms: float
    requests_ms: float
    counts: tuple[int, int]
    is_slower: bool

    @property
    def says(self) -> str:
        """The comparison in words."""
        return (
            f"the first byte came after {self.prefix_ms:.0f} ms with it ({self.counts[0]} requests), and after "
            f"{self.requests_ms:.0f} ms without ({self.counts[1]} requests)"
        )


def compare(logs: Mapping[str, list[float]]) -> Compared | None:
    """Compare logarithms of milliseconds by kind; None while there are too few."""
    prefix, requests = (logs.get(kind, []) for kind in KINDS)
    if min(len(prefix), len(requests)) < REQUESTS_MIN:
        return None
    with_it, without = statistics.fmean(prefix), statistics.fmean(requests)
    error = math.sqrt(sum(statistics.variance(each) / len(each) for each in (prefix, requests)))
    return Compared(
        prefix_ms=math.exp(with_it),
        requests_ms=math.exp(without),
        counts=(len(prefix), len(requests)),
        is_slower=with_it - without > _SLOWER + _SURE * error,
    )
