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
from dataclasses import dataclass
from typing import Final

from bateau.domain.endpoint import Load, PlaneState
from bateau.ports.clock import Clock
from bateau.runtimes.local.steps import Draining, Step

log = logging.getLogger(__name__)

# Envoy looks for a lost control channel at least this often, so a proxy that is silent for longer is not running.
_KNOWN_AFTER_S: Final = 30.0


@dataclass(slots=True)
class _Drain:
    """Since when a replica drains, and since when every proxy knows of it; None if one may not know yet."""

    since: float
    known_at: float | None = None


class Drains:
    """The replicas that drain, by id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drains: dict[str, _Drain] = {}
        self._load: Load | None = None

    @property
    def now(self) -> Mapping[str, Draining]:
        """The progress of each drain, by replica id."""
        at = self._clock.monotonic()
        return {
            replica: Draining(seconds=_seconds(each, at), in_flight=self._in_flight(replica, each.since))
            for replica, each in self._drains.items()
        }

    def note(self, planes: PlaneState) -> None:
        """Store the requests in flight that the planes have counted, and that they know of the drains if they do."""
        self._load = planes.load
        if planes.accepted:
            at = self._clock.monotonic()
            for each in self._drains.values():
                each.known_at = at if each.known_at is None else each.known_at

    def keep(self, present: Collection[str]) -> None:
        """Forget the replicas that no longer exist."""
        self._drains = {replica: each for replica, each in self._drains.items() if replica in present}

    def follow(self, steps: Iterable[Step]) -> None:
        """Begin and end drains."""
        for step in steps:
            if step.act == "drain":
                log.info("%s drains: %s", step.replica, step.reason)
                self._drains.setdefault(step.replica, _Drain(self._clock.monotonic()))
            elif step.act == "keep":
                self._drains.pop(step.replica, None)

    def _in_flight(self, replica: str, since: float) -> int | None:
        """Return the requests in flight, or None if the last count is older than the drain."""
        if self._load is None or self._load.seen_at < since:
            return None
        return self._load.in_flight.get(replica, 0)


def _seconds(drain: _Drain, at: float) -> float:
    """Return for how long a replica has had no new requests; 0.0 while a proxy may still send it some."""
    known_at = drain.since + _KNOWN_AFTER_S if drain.known_at is None else drain.known_at
    return max(0.0, at - known_at)
