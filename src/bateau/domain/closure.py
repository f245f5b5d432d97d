"""Compare the ledger with the counters of the engines.

Called by api.usage_json, cli.usage and wiring.usage. Pure.

Invariant: an engine whose counters are not known is shown as not checked, never as equal. Held by
tests/domain/test_closure.py::test_an_engine_without_counters_is_not_checked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bateau.domain.used import Sum, Used

# A request has ended when its line says so, rounded to milliseconds; an engine has begun when its process has.
_CLOCK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCounts:
    """What the engine of a replica has counted since its process began at `since`, in seconds since the epoch.

    `tokens_in` includes cached ones. Numbers are None if the engine does not say them. `in_flight` requests are not in
    the ledger yet.
    """

    replica: str
    since: float
    tokens_in: int | None = None
    tokens_out: int | None = None
    in_flight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """The sum of one replica in the ledger, beside that of its engine."""

    engine: EngineCounts
    sum: Sum = field(default_factory=Sum)

    @property
    def difference(self) -> float | None:
        """By how much of the engine's count the ledger differs: 0.001 is 0.1 %. None if it is not checked."""
        if self.engine.tokens_in is None or self.engine.tokens_out is None:
            return None
        counted = self.engine.tokens_in + self.engine.tokens_out
        apart = abs(self.sum.tokens_in - self.engine.tokens_in) + abs(self.sum.tokens_out - self.engine.tokens_out)
        return apart / counted if counted else float(apart > 0)


def closures(requests: Iterable[Used], engines: Sequence[EngineCounts]) -> list[Closure]:
    """Return the sums of each engine's replica since its process began, in the order of `engines`."""
    found = {engine.replica: Closure(engine=engine) for engine in engines}
    for used in requests:
        closure = found.get(used.replica or "")
        if closure and used.ended_at >= closure.engine.since - _CLOCK_S:
            closure.sum.add(used)
    return list(found.values())
