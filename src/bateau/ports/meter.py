"""The port for the figures of services. Satisfied by wiring.figures.ServiceMeter; used by api and ui."""

from typing import Protocol

from bateau.domain.figures import Figures


class Meter(Protocol):
    """Measures the services while someone watches."""

    async def now(self) -> Figures:
        """Return the latest figures. They are measured again if they are older than some seconds."""
        ...
