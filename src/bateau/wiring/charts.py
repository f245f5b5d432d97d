"""The charts of a service, from the Prometheus server that is named, or from the history of this machine.

Called by ui.reports and wiring.cluster_measures.

Invariant: a server that fails changes the source of a chart and not the chart: the history of this machine takes its
place, and the page says so. Held by tests/wiring/test_charts.py::test_a_server_that_fails_gives_way_to_the_history.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import floor
from typing import TYPE_CHECKING, Final, Protocol

from bateau.domain.charts import SPANS, Charts, Span, Values, drawn, window
from bateau.domain.errors import ControlError
from bateau.domain.measures import MEASURES, Measure, MeasureHistory
from bateau.domain.promql import promql
from bateau.domain.workload import Workload
from bateau.observe.prometheus import Prometheus
from bateau.ports.clock import Clock
from bateau.wiring.figures import routes_of
from bateau.wiring.prometheus_server import Server
from bateau.wiring.reported import Reported

if TYPE_CHECKING:
    from bateau.wiring.local import LocalPlatform

_KEPT_MAX: Final = 64
_WINDOW_MIN_S: Final = 60.0  # four scrapes, as an increase needs
_AGAIN_S: Final = 60.0  # after a failure, a server is asked again


class Written(MeasureHistory, Protocol):
    """A history with the reason why it is not written at the moment."""

    @property
    def wrong(self) -> str | None:
        """None if it is written."""
        ...

    @property
    def last(self) -> float | None:
        """The time of the latest point."""
        ...


class ChartReports:
    """The charts of the services of one instance. Readers of the same chart share it."""

    def __init__(
        self,
        history: Written,
        clock: Clock,
        *,
        services: Callable[[], Sequence[Workload]],
        server: Server | None = None,
    ) -> None:
        self._history = history
        self._clock = clock
        self._services = services
        self._server = server
        self._made: dict[tuple[str, str], tuple[float, Charts]] = {}
        self._lock = asyncio.Lock()
        self._failed: tuple[float, str] | None = None
        self._report = Reported("charts show the history of this machine")

    async def now(self, service: str, span_name: str) -> Charts | None:
        """Return the charts of a service: the same object until there is more to show. None: no such span."""
        span = SPANS.get(span_name)
        if span is None:
            return None
        async with self._lock:
            last = self._history.last
            newest = self._clock.wall() if last is None or self._server else last
            turn = floor(newest / span.every_s)
            known = self._made.get((service, span_name))
            if known is None or known[0] != turn or known[1].trouble != self._trouble():
                if len(self._made) >= _KEPT_MAX:
                    self._made.clear()
                known = self._made[service, span_name] = turn, await self._charts(service, span, newest)
            return known[1]

    async def _charts(self, service: str, span: Span, newest: float) -> Charts:
        begin, end = window(span, newest)
        found = await self._asked(service, span, begin, end)
        if self._server and found is not None:
            return Charts(service=service, span=span, begin=begin, values=found, source=self._server.url)
        values = await asyncio.to_thread(self._own, service, span, begin, end)
        return Charts(service=service, span=span, begin=begin, values=values, trouble=self._trouble())

    def _trouble(self) -> str | None:
        return self._failed[1] if self._failed else self._history.wrong

    def _own(self, service: str, span: Span, begin: float, end: float) -> Mapping[str, Values]:
        return {
            each.name: drawn(each, self._history.points(service, each, since=begin, until=end, step_s=span.step_s))
            for each in MEASURES
        }

    async def _asked(self, service: str, span: Span, begin: float, end: float) -> Mapping[str, Values] | None:
        """Return the values that the server has; None without one, and while it fails."""
        now = self._clock.monotonic()
        if self._server is None or (self._failed and 0 <= now - self._failed[0] < _AGAIN_S):
            return None
        workload = next((each for each in self._services() if each.key == service), None)
        expressions = {
            each.name: self._expression(each, service, workload, span) for each in MEASURES if _applies(each, workload)
        }
        try:
            found = await Prometheus(self._server.url, self._server.token).values(
                expressions, start=begin + span.step_s, end=end, step_s=span.step_s
            )
        except ControlError as error:
            self._failed = (now, error.message)
            self._report.failed(error)
            return None
        self._failed = None
        self._report.is_over()
        whens = [begin + span.step_s * (at + 1) for at in range(round(span.seconds / span.step_s))]
        scales = {each.name: 1 / span.step_s if each.kind == "sum" else 1.0 for each in MEASURES}
        return {
            name: tuple(None if (value := series.get(when)) is None else scales[name] * value for when in whens)
            for name, series in found.items()
        }

    def _expression(self, measure: Measure, service: str, workload: Workload | None, span: Span) -> str:
        found = promql(
            measure,
            service,
            is_model=workload is not None and workload.is_named_in_bodies,
            window=f"{max(span.step_s, _WINDOW_MIN_S):g}s",
            bound_s=(workload.slo.latency_p95_s if workload else None) or 1.0,
            labels=self._server.labels if self._server else {},
        )
        if measure.kind == "sum":
            return f"({found}) * {span.step_s / max(span.step_s, _WINDOW_MIN_S):g}"
        is_instant = "<window>" not in measure.promql
        return f"max_over_time(({found})[{span.step_s:g}s:15s])" if is_instant else found


def charts_of(platform: "LocalPlatform") -> ChartReports:
    """Return the charts of an instance."""
    return ChartReports(
        platform.measured.history,
        platform.clock,
        services=lambda: platform.control.release.services,
        server=platform.measured.server,
    )


def _applies(measure: Measure, workload: Workload | None) -> bool:
    """Whether a service can have a measure: a gateway has no requests of its own."""
    needs_routes = "<routes>" in measure.promql or "<clusters>" in measure.promql
    return not needs_routes or (workload is not None and bool(routes_of(workload)))
