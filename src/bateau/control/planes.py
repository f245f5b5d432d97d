"""Treat all traffic planes of a site as one: give each the same traffic, and combine their observations.

Called by control.loop.

Invariant: a failing plane, expected or by a bug, is reported and does not keep the others from getting their traffic.
Held by tests/control/test_contained.py.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bateau.domain.endpoint import Load, PlaneState, Traffic
from bateau.domain.errors import bug
from bateau.domain.unit import Unit
from bateau.domain.workload import ServiceKey
from bateau.ports.plane import Plane

logger = logging.getLogger(__name__)

PROXY_KIND = "gateway"
# The same as for a model, because a proxy that is replaced must finish the streams that it carries.
PROXY_DRAIN_S = 600.0


def proxy_key(plane: Plane) -> ServiceKey:
    """Return the service key of the proxies of a plane, such as "gateway/envoy"."""
    return ServiceKey.of(PROXY_KIND, plane.name)


class Planes:
    """All planes of one site."""

    def __init__(self, planes: Sequence[Plane]) -> None:
        self._planes = tuple(planes)
        self._published: dict[str, Traffic] = {}
        self._failed: dict[str, str] = {}

    @property
    def proxies(self) -> frozenset[str]:
        """The keys of the services whose replicas are proxies."""
        return frozenset(proxy_key(plane) for plane in self._planes)

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever the result of `observe` has changed."""
        for plane in self._planes:
            plane.on_change(wake)

    def units(self) -> tuple[Unit, ...]:
        """Return the units of the planes that have processes."""
        return tuple(
            Unit(key=proxy_key(plane), target="process", body=body, drain_timeout_s=PROXY_DRAIN_S)
            for plane in self._planes
            if (body := plane.template()) is not None
        )

    def publish(self, traffic: Traffic) -> None:
        """Give every plane its traffic, unless it has it already."""
        for plane in self._planes:
            key = proxy_key(plane)
            own = _own(plane, traffic)
            if self._published.get(plane.name) == own and plane.name not in self._failed:
                continue
            try:
                plane.publish(own)
                self._published[plane.name] = own
                self._failed.pop(plane.name, None)
            except Exception as error:
                says = f"{bug(error)}; the log has the details"
                if self._failed.get(plane.name) != says:
                    logger.error("%s did not get its traffic because of a bug", key, exc_info=error)
                self._failed[plane.name] = says

    def has(self, traffic: Traffic) -> bool:
        """Whether every plane has been given this traffic."""
        return not self._failed and all(
            self._published.get(plane.name) == _own(plane, traffic) for plane in self._planes
        )

    def observe(self) -> PlaneState:
        """Return the combined state of all planes. The load is unknown if any plane does not know its load."""
        states = [plane.observe() for plane in self._planes]
        rejected = {key: says for state in states for key, says in state.rejected.items()}
        rejected |= {f"{PROXY_KIND}/{name}": says for name, says in self._failed.items()}
        return PlaneState(
            accepted=all(state.accepted for state in states) and not self._failed,
            rejected=rejected,
            load=_together([state.load for state in states]),
            asked=_latest([state.asked for state in states]),
        )


def _own(plane: Plane, traffic: Traffic) -> Traffic:
    """Return the traffic with no other proxies than those of the plane."""
    key = proxy_key(plane)
    return replace(traffic, proxies=tuple(each for each in traffic.proxies if each.service == key))


def _together(loads: Sequence[Load | None]) -> Load | None:
    known = [load for load in loads if load is not None]
    if not known or len(known) < len(loads):
        return None
    in_flight, taken = Counter[str](), Counter[str]()
    for load in known:
        in_flight.update(load.in_flight)
        taken.update(load.taken)
    return Load(in_flight=in_flight, seen_at=min(load.seen_at for load in known), taken=taken)


def _latest(asked: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
    return {key: max(each.get(key, 0) for each in asked) for key in sorted({key for each in asked for key in each})}
