"""The sparklines of all services, from the history of measures of this control plane.

Called by ui.reports and wiring.cluster_measures.

The row of a service with requests changes every minute. With 200 rows at once, a browser would be busy for a fifth of a
second, so the services take turns.

A Prometheus server is not asked: that of a page with 200 services would get 600 questions.

Invariant: each minute is read once, and what is kept of earlier ones is what the history has. Held by
tests/wiring/test_sparklines.py::test_each_minute_is_read_once and
tests/wiring/test_sparklines.py::test_minute_by_minute_gives_the_same_as_the_whole_hour.
Invariant: however many pages are open, few sparklines change together. Held by
tests/wiring/test_sparklines.py::test_many_services_take_turns.
Invariant: a sparkline that is not of the last two minutes is not shown. Held by
tests/wiring/test_sparklines.py::test_a_sparkline_that_is_old_is_not_shown.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bateau.domain.charts import Values, drawn
from bateau.domain.measures import CLIENT_ERRORS, REQUESTS, SERVER_ERRORS, Measure, MeasureHistory
from bateau.domain.sparklines import COUNT, STEP_S, Sparkline, last_end
from bateau.domain.workload import Workload
from bateau.kit.latest import Latest
from bateau.ports.clock import Clock
from bateau.wiring.figures import routes_of

TURN_S: Final = 2.0
TOGETHER: Final = 40
_TURNS: Final = 20  # however many services there are, each has its turn well within a minute
_OLD_S: Final = STEP_S


class SparklineReports:
    """The sparklines of the services of one instance. Readers share them."""

    def __init__(self, history: MeasureHistory, clock: Clock, *, services: Callable[[], Sequence[Workload]]) -> None:
        self._history = history
        self._clock = clock
        self._services = services
        self._keys = Latest[Sequence[str]]()
        self._known: Mapping[str, Sparkline] = {}
        self._ends: dict[str, float] = {}
        self._turn_at: float | None = None
        self._lock = asyncio.Lock()

    async def now(self) -> Mapping[str, Sparkline]:
        """Return the sparklines that are known, by service: the same object until one of them changes."""
        async with self._lock:
            services, end = self._services(), last_end(self._clock.wall())
            keys = self._keys.of(lambda: [each.key for each in services if routes_of(each)], same=(services,))
            found = {**self._known, **await self._read(keys, end)}
            shown = {each: found[each] for each in keys if each in found and abs(end - self._ends[each]) <= _OLD_S}
            if shown != self._known:
                self._known = shown
            return self._known

    async def _read(self, keys: Sequence[str], end: float) -> Mapping[str, Sparkline]:
        """Return the sparklines of the services whose turn it is."""
        now, due = self._clock.monotonic(), [each for each in keys if self._ends.get(each) != end]
        if not due or (self._turn_at is not None and now - self._turn_at < TURN_S):
            return {}
        self._turn_at, chosen = now, due[: max(TOGETHER, len(keys) // _TURNS)]
        found = await asyncio.to_thread(lambda: {each: self._sparkline(each, end) for each in chosen})
        self._ends |= dict.fromkeys(chosen, end)
        return found

    def _sparkline(self, service: str, end: float) -> Sparkline:
        """Return the sparkline of a service: the known one itself, if it is the same."""
        old, new = self._known.get(service), round((end - self._ends.get(service, 0.0)) / STEP_S)
        if old is None or not 0 < new < COUNT:  # the clock may have been set back
            old, new = None, COUNT
        requests, client, server = (
            self._rates(service, each, end, new) for each in (REQUESTS, CLIENT_ERRORS, SERVER_ERRORS)
        )
        errors = tuple(None if a is None or b is None else a + b for a, b in zip(client, server, strict=True))
        if old is None:
            return Sparkline(requests=requests, errors=errors)
        made = Sparkline(requests=old.requests[new:] + requests, errors=old.errors[new:] + errors)
        return old if made == old else made

    def _rates(self, service: str, measure: Measure, end: float, minutes: int) -> Values:
        since = end - minutes * STEP_S
        return drawn(measure, self._history.points(service, measure, since=since, until=end, step_s=STEP_S))
