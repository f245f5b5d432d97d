"""A history of measures that a test sets: a fake, for rules of alerts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from bateau.domain.measures import Measure, Point


class FakeHistory:
    """Values by service, measure and time. `latest` are set apart. Satisfies `domain.measures.MeasureHistory`."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        self.now: dict[str, dict[str, float]] = {}

    def add(self, service: str, measure: Measure, value: float, *, at: float) -> None:
        self.values[service, measure.name].append((at, value))

    def services(self) -> Sequence[str]:
        return sorted({service for service, _ in self.values})

    def points(self, service: str, measure: Measure, *, since: float, until: float, step_s: float) -> Sequence[Point]:
        del step_s
        found = self.values.get((service, measure.name), [])
        return [Point(when_s=at, value=value) for at, value in found if since < at <= until]

    def total(self, service: str, measure: Measure, *, since: float, until: float) -> float | None:
        found = [point.value or 0 for point in self.points(service, measure, since=since, until=until, step_s=15)]
        return sum(found) if found else None

    def latest(self, service: str) -> Mapping[str, float]:
        return self.now.get(service, {})
