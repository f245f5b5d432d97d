"""What a traffic plane offers. Used by control; satisfied by traffic.envoy.EnvoyPlane and testing.FakePlane."""

from collections.abc import Mapping
from typing import Protocol

from bateau.domain.endpoint import Load, Traffic
from bateau.domain.process import ProcessTemplate


class Plane(Protocol):
    """Sends requests to the endpoints it was told of."""

    def template(self) -> ProcessTemplate:
        """Return how its proxy runs, for the runtime to supervise."""
        ...

    async def publish(self, traffic: Traffic) -> None:
        """Make `traffic` what the proxy does. Nothing in flight is cut.

        The first call opens the control channel: a proxy that asked earlier would be told that everything is gone.
        """
        ...

    def rejected(self) -> Mapping[str, str]:
        """Return what the proxy would not take, by service key, and why. It is tried again at the next publish."""
        ...

    def acknowledged(self) -> bool:
        """Whether the proxy is there and has answered for all that was published, by taking or by rejecting it."""
        ...

    async def load(self) -> Load | None:
        """Return the requests in flight, or None where the proxy cannot be asked or lacks what was published."""
        ...

    async def close(self) -> None:
        """Close the control channel; the proxy keeps what it has."""
        ...
