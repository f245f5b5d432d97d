"""What a traffic plane offers: traffic goes in, and its state is observed.

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
        """Return how the plane's proxy runs, for the runtime to supervise; None where the plane has no process."""
        ...

    def publish(self, traffic: Traffic) -> None:
        """Replace the traffic. Does not wait, and cuts no request in flight; the newest value wins.

        The first call opens the control channel: a proxy that connects to a server without state would be told that
        everything it has is gone. A backend that cannot be rendered is left out and reported in `observe().rejected`;
        all others are published.
        """
        ...

    def observe(self) -> PlaneState:
        """Return what is known now. Does no I/O."""
        ...

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` from the event loop whenever what `observe` returns has changed."""
        ...

    async def close(self) -> None:
        """Close the control channel; the proxies keep what they have."""
        ...
