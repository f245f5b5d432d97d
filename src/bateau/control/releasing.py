"""From texts to the release of one environment, without judging it: the short way, for questions about values.

Called by `explain`. control.path goes the same way and on.
"""

from collections.abc import Mapping

from bateau.domain.problem import Problem
from bateau.domain.release import Release
from bateau.hydrate import hydrate
from bateau.specs import read


def released(
    texts: Mapping[str, str], environment: str | None, variables: Mapping[str, str]
) -> tuple[Release, tuple[Problem, ...]]:
    """Return the release, and the mistakes that left something out of it."""
    reading = read(texts)
    release, unmet = hydrate(reading.specs, environment, variables)
    return release, (*reading.problems, *unmet)
