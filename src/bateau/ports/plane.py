"""The port of a traffic plane: control publishes traffic to it and observes its state.

Used by control. Satisfied by traffic.envoy.EnvoyPlane and testing.FakePlane.
"""

from collections.abc import Callable
from typing import Protocol

from bateau.domain.endpoint import PlaneState, Traffic
from bateau.domain.process import ProcessTemplate


class Plane(Protocol):
    """Sends requests to the endpoints of the traffic that was published last."""

    name: str

    def template(self) -> ProcessTemplate | None:
        """Return the process of the plane's proxy, for the runtime to supervise; None if the plane has no process."""
        ...

    def publish(self, traffic: Traffic) -> None:
        """Replace the traffic. Does not wait, and interrupts no request; the newest value wins.

        The first call opens the control channel: a proxy that connects to a server without state would remove all its
        resources. A backend that cannot be rendered is left out and reported in `observe().rejected`; all others are
        published.
        """
        ...

    def observe(self) -> PlaneState:
        """Return the known state. Does no I/O."""
        ...

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` from the event loop whenever the result of `observe` has changed."""
        ...

    async def close(self) -> None:
        """Close the control channel; the proxies keep their configuration."""
        ...
