"""A traffic plane without a proxy, for tests: it records the traffic and reports the state that a test sets.

Invariant: as in the real plane, the load is None (unknown) while its proxy has not accepted the traffic. Held by
tests/ports/test_plane.py.
"""

from collections.abc import Callable, Mapping

from bateau.domain.endpoint import Load, PlaneState, Traffic
from bateau.domain.process import ProcessTemplate
from bateau.ports.clock import Clock
from bateau.testing.clock import ManualClock


class FakePlane:
    """Satisfies `bateau.ports.plane.Plane`.

    `published` holds every Traffic in order. `in_flight` holds the counts of replicas that are not idle, None where
    they are unknown; `rejections` are reported while their service is published. `taken` counts the requests that were
    sent to a replica, and `asked` has the generations that requests wait for, by service. A test that sets an attribute
    calls `change` to wake whoever listens.
    """

    name = "envoy"

    def __init__(self, *, revision: str = "gateway-1", clock: Clock | None = None) -> None:
        self.revision = revision
        self._clock = clock or ManualClock()
        self.published: list[Traffic] = []
        self.in_flight: dict[str, int] | None = {}
        self.accepted = True
        self.closed = False
        self.rejections: dict[str, str] = {}
        self.taken: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        self._wakes: list[Callable[[], None]] = []

    @property
    def traffic(self) -> Traffic:
        """The traffic that was published last."""
        return self.published[-1]

    def template(self) -> ProcessTemplate:
        """Return a template that names the revision and runs nothing."""
        return ProcessTemplate(revision=self.revision, command=("envoy",))

    def publish(self, traffic: Traffic) -> None:
        """Record `traffic`."""
        self.published.append(traffic)
        self.change()

    def observe(self) -> PlaneState:
        """Return the state that the test has set."""
        accepted = self.accepted and bool(self.published) and not self.closed
        known = self.in_flight if accepted and self.traffic.wants_load else None
        load = None
        if known is not None:
            seen_at = self._clock.monotonic()
            load = Load(in_flight={**self._idle(), **known}, seen_at=seen_at, taken=dict(self.taken))
        holding = {each.service for each in self.traffic.backends if each.hold} if self.published else set[str]()
        asked = {key: number for key, number in self.asked.items() if key in holding}
        return PlaneState(accepted=accepted, rejected=self._rejected(), load=load, asked=asked)

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` after each publish, and when a test calls `change`."""
        self._wakes.append(wake)

    def change(self) -> None:
        """Wake whoever listens."""
        for wake in self._wakes:
            wake()

    async def close(self) -> None:
        """Record that the channel is closed."""
        self.closed = True

    def _rejected(self) -> Mapping[str, str]:
        there = {backend.service for backend in self.traffic.backends} if self.published else set[str]()
        return {key: why for key, why in self.rejections.items() if key in there or key == f"gateway/{self.name}"}

    def _idle(self) -> Mapping[str, int]:
        endpoints = [endpoint.replica for backend in self.traffic.backends for endpoint in backend.endpoints]
        return dict.fromkeys([*endpoints, *(proxy.replica for proxy in self.traffic.proxies)], 0)
