"""The history of measures, with the present numbers of replicas and restarts.

Called by wiring.alerts. Pure.

A history is written every few seconds. With this, an alert about a replica fires as soon as its event is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bateau.domain.event import Event
from bateau.domain.measures import REPLICAS_READY, REPLICAS_WANTED, RESTARTS, Measure, MeasureHistory, Point
from bateau.domain.status import ServiceState, ServiceStatus, Status
from bateau.domain.timeline import service_of


@dataclass(frozen=True)
class LiveHistory:
    """A history, the latest status, and the latest events. Satisfies `domain.measures.MeasureHistory`."""

    history: MeasureHistory
    status: Status | None
    events: Sequence[Event]

    @cached_property
    def _services(self) -> Mapping[str, ServiceStatus]:
        return {each.service: each for each in self.status.services} if self.status else {}

    @cached_property
    def _restarts(self) -> Mapping[str, Sequence[float]]:
        found: dict[str, list[float]] = {}
        for each in self.events:
            if each.reason == "Restarted" and (service := service_of(each)):
                found.setdefault(service, []).append(each.when_s)
        return found

    def services(self) -> Sequence[str]:
        """Return the keys of the services that have a history."""
        return self.history.services()

    def points(self, service: str, measure: Measure, *, since: float, until: float, step_s: float) -> Sequence[Point]:
        """Return the points of the history."""
        return self.history.points(service, measure, since=since, until=until, step_s=step_s)

    def total(self, service: str, measure: Measure, *, since: float, until: float) -> float | None:
        """Return the sum of the history; of restarts at least as many as there are events."""
        kept = self.history.total(service, measure, since=since, until=until)
        if measure is not RESTARTS:
            return kept
        seen = sum(since < when_s <= until for when_s in self._restarts.get(service, ()))
        return max(kept or 0.0, float(seen))

    def latest(self, service: str) -> Mapping[str, float]:
        """Return the latest values, those of replicas from the status: not known while the service is Unknown."""
        found = dict(self.history.latest(service))
        now = self._services.get(service)
        if now and now.state is ServiceState.UNKNOWN:
            found.pop(REPLICAS_READY.name, None)
        elif now and now.has_replicas:
            found[REPLICAS_WANTED.name] = float(now.replicas_wanted)
            found[REPLICAS_READY.name] = float(now.replicas_ready)
        return found
