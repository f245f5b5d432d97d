"""Track the draining replicas: since when each gets no new requests, and how many requests are still in flight on it.

Called by runtimes.local.runtime.

Invariant: a count that no plane knows is None, never 0, so a missing answer never stops a replica. Held by
tests/control/test_replicas.py::test_an_unknown_number_of_requests_does_not_shorten_a_drain.
"""

import logging
from collections.abc import Collection, Iterable, Mapping

from bateau.domain.endpoint import Load
from bateau.ports.clock import Clock
from bateau.runtimes.local.steps import Draining, Step

log = logging.getLogger(__name__)


class Drains:
    """The replicas that drain, by id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._load: Load | None = None

    @property
    def now(self) -> Mapping[str, Draining]:
        """The progress of each drain, by replica id."""
        at = self._clock.monotonic()
        return {
            replica: Draining(seconds=at - since, in_flight=self._in_flight(replica, since))
            for replica, since in self._since.items()
        }

    def note(self, load: Load | None) -> None:
        """Store the requests in flight that the planes have counted, or None if they do not know."""
        self._load = load

    def keep(self, present: Collection[str]) -> None:
        """Forget the replicas that no longer exist."""
        self._since = {replica: since for replica, since in self._since.items() if replica in present}

    def follow(self, steps: Iterable[Step]) -> None:
        """Begin and end drains."""
        for step in steps:
            if step.act == "drain":
                log.info("%s drains: %s", step.replica, step.reason)
                self._since.setdefault(step.replica, self._clock.monotonic())
            elif step.act == "keep":
                self._since.pop(step.replica, None)

    def _in_flight(self, replica: str, since: float) -> int | None:
        """Return the requests in flight, or None if the last count is older than the drain."""
        if self._load is None or self._load.seen_at < since:
            return None
        return self._load.in_flight.get(replica, 0)
