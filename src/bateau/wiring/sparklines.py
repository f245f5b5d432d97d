"""The sparklines of all services, from the history of measures of this control plane.

Called by ui.reports and wiring.cluster_measures.

A Prometheus server is not asked: that of a page with 200 services would get 600 questions.

Invariant: each minute is read once, and what is kept of earlier ones is what the history has. Held by
tests/wiring/test_sparklines.py::test_each_minute_is_read_once and
tests/wiring/test_sparklines.py::test_minute_by_minute_gives_the_same_as_the_whole_hour.
Invariant: a sparkline that is not of the last two minutes is not shown. Held by
tests/wiring/test_sparklines.py::test_a_sparkline_that_is_old_is_not_shown.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from bateau.domain.charts import Values, drawn
from bateau.domain.measures import CLIENT_ERRORS, REQUESTS, SERVER_ERRORS, Measure, MeasureHistory
from bateau.domain.sparklines import COUNT, STEP_S, Sparkline, Sparklines, last_end
from bateau.domain.workload import Workload
from bateau.kit.refreshed import PATIENCE_S, Refreshed
from bateau.ports.clock import Clock
from bateau.wiring.figures import routes_of

_OLD_S: Final = STEP_S


class SparklineReports:
    """The sparklines of the services of one instance. Readers share them."""

    def __init__(
        self,
        history: MeasureHistory,
        clock: Clock,
        *,
        services: Callable[[], Sequence[Workload]],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._history = history
        self._clock = clock
        self._services = services
        self._known: Sparklines | None = None
        # The first hour of many services takes longer than a page may take; each minute behind it takes no time.
        self._reading = Refreshed(self._read, patience_s=patience_s)

    async def now(self) -> Sparklines | None:
        """Return the same object until another minute has ended; None while the hour is read for the first time."""
        end, known = last_end(self._clock.wall()), self._known
        if known is None or known.end != end:
            known = self._known = await self._reading.now()
        return known if known and abs(end - known.end) <= _OLD_S else None

    async def _read(self) -> Sparklines:
        services = [each.key for each in self._services() if routes_of(each)]
        return await asyncio.to_thread(self._sparklines, services, last_end(self._clock.wall()), self._known)

    def _sparklines(self, services: Sequence[str], end: float, known: Sparklines | None) -> Sparklines:
        return Sparklines(end=end, of={each: self._sparkline(each, end, known) for each in services})

    def _sparkline(self, service: str, end: float, known: Sparklines | None) -> Sparkline:
        """Return the sparkline of a service: the known one itself, if it is the same."""
        old, new = (known.of.get(service), round((end - known.end) / STEP_S)) if known else (None, COUNT)
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
