"""A traffic plane that only remembers what it was told.

Invariant: like the real one, it says nothing (None) of what is in flight while its proxy cannot be asked.
"""

from collections.abc import Mapping

from bateau.domain.endpoint import Load, Traffic
from bateau.domain.process import ProcessTemplate


class FakePlane:
    """Satisfies `bateau.ports.plane.Plane`.

    `in_flight` is what `load` answers, None where the proxy cannot be asked; `published` holds every Traffic in order.
    """

    def __init__(self, *, revision: str = "gateway-1") -> None:
        self.revision = revision
        self.published: list[Traffic] = []
        self.in_flight: dict[str, int] | None = {}
        self.closed = False
        self.rejections: dict[str, str] = {}

    @property
    def traffic(self) -> Traffic:
        """What was published last."""
        return self.published[-1]

    def template(self) -> ProcessTemplate:
        """Return a template that names the revision and runs nothing."""
        return ProcessTemplate(revision=self.revision, command=("envoy",))

    async def publish(self, traffic: Traffic) -> None:
        """Remember `traffic`."""
        self.published.append(traffic)

    def rejected(self) -> Mapping[str, str]:
        """Return the rejections that the test has set."""
        return dict(self.rejections)

    def acknowledged(self) -> bool:
        """Whether its proxy can be asked."""
        return self.in_flight is not None

    async def load(self) -> Load | None:
        """Return the requests in flight that the test has set."""
        return None if self.in_flight is None else Load(in_flight=dict(self.in_flight))

    async def close(self) -> None:
        """Remember that the channel is closed."""
        self.closed = True
