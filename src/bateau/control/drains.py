"""Which replicas get no new requests, since when, and what is still in flight on them.

Called by control.loop.

Invariant: what the gateway cannot say is None, and never 0: nothing is stopped for want of an answer.
"""

import logging
from collections.abc import Iterable, Mapping

from bateau.domain.plan import Draining, Step
from bateau.ports.clock import Clock
from bateau.ports.plane import Plane

logger = logging.getLogger(__name__)


class Drains:
    """The replicas that drain, by id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._in_flight: Mapping[str, int] | None = None

    @property
    def now(self) -> Mapping[str, Draining]:
        """How far each is."""
        at = self._clock.monotonic()
        return {
            replica: Draining(
                seconds=at - since, in_flight=None if self._in_flight is None else self._in_flight.get(replica, 0)
            )
            for replica, since in self._since.items()
        }

    def follow(self, steps: Iterable[Step]) -> None:
        """Begin and end drains as a plan says."""
        for step in steps:
            if step.act == "drain":
                logger.info("%s drains: %s", step.replica, step.reason)
                self._since.setdefault(step.replica, self._clock.monotonic())
            elif step.act == "keep":
                self._since.pop(step.replica, None)

    def measure(self, present: Iterable[str], plane: Plane) -> None:
        """Forget replicas that are gone, and note how many requests are in flight on the others."""
        there = set(present)
        self._since = {replica: since for replica, since in self._since.items() if replica in there}
        if self._since:
            load = plane.observe().load
            self._in_flight = load.in_flight if load else None
