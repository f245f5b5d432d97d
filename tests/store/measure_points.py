"""Points of measures for tests: a few values of each service, that tell which point and service they are of."""

from collections.abc import Mapping

from bateau.domain.measures import MEASURES

START = 1_790_000_000.0 - 1_790_000_000.0 % 3600  # the beginning of an hour


def values(number: int, *services: str) -> Mapping[str, Mapping[str, float]]:
    """Return the values at point `number`: that of a measure differs by measure, service and point."""
    return {
        service: {measure.name: float(1000 * number + 100 * at + index) for index, measure in enumerate(MEASURES)}
        for at, service in enumerate(services)
    }
