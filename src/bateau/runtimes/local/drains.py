"""Track the draining replicas: how long each has had no new requests, and how many requests are in flight on it.

Called by runtimes.local.runtime.

Invariant: a count that no plane knows is None, never 0, so a missing answer never stops a replica. Held by
tests/control/test_replicas.py::test_an_unknown_number_of_requests_does_not_shorten_a_drain.
Invariant: the time of a drain counts from the moment at which every proxy knew of it; one that has lost its control
channel continues to send requests. Held by
tests/control/test_replicas.py::test_the_time_of_a_drain_counts_from_when_the_proxies_know_of_it.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from bateau.domain.endpoint import Load, PlaneState
from bateau.ports.clock import Clock
from bateau.runtimes.local.steps import Draining, Step

log = logging.getLogger(__name__)

# Envoy looks for a lost control channel at least this often, so a proxy that is silent for longer is not running.
_KNOWN_AFTER_S: Final = 30.0


class Drains:
    """The replicas that drain, by id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._known_at: dict[str, float] = {}
        self._load: Load | None = None

    @property
    def now(self) -> Mapping[str, Draining]:
        """The progress of each drain, by replica id."""
        at = self._clock.monotonic()
        return {
            replica: Draining(seconds=self._seconds(replica, at), in_flight=self._in_flight(replica, since))
            for replica, since in self._since.items()
        }

    def note(self, planes: PlaneState) -> None:
        """Store the requests in flight that the planes have counted, and that they know of the drains if they do."""
        self._load = planes.load
        if planes.accepted:
            at = self._clock.monotonic()
            self._known_at = {replica: self._known_at.get(replica, at) for replica in self._since}

    def keep(self, present: Collection[str]) -> None:
        """Forget the replicas that no longer exist."""
        self._since = {replica: since for replica, since in self._since.items() if replica in present}
        self._known_at = {replica: at for replica, at in self._known_at.items() if replica in present}

    def follow(self, steps: Iterable[Step]) -> None:
        """Begin and end drains."""
        for step in steps:
            if step.act == "drain":
                log.info("%s drains: %s", step.replica, step.reason)
                self._since.setdefault(step.replica, self._clock.monotonic())
            elif step.act == "keep":
                self._since.pop(step.replica, None)
                self._known_at.pop(step.replica, None)

    def _seconds(self, replica: str, at: float) -> float:
        """Return for how long the replica has had no new requests; 0.0 while a proxy may still send it some."""
        known_at = self._known_at.get(replica, self._since[replica] + _KNOWN_AFTER_S)
        return max(0.0, at - known_at)

    def _in_flight(self, replica: str, since: float) -> int | None:
        """Return the requests in flight, or None if the last count is older than the drain."""
        if self._load is None or self._load.seen_at < since:
            return None
        return self._load.in_flight.get(replica, 0)
