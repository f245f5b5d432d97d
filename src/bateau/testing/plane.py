"""A traffic plane that only records its input.

Invariant: like the real one, it reports the requests in flight as unknown (None) while its proxy does not answer.
"""

from collections.abc import Mapping

from bateau.domain.endpoint import Load, Traffic
from bateau.domain.process import ProcessTemplate


class FakePlane:
    """Satisfies `bateau.ports.plane.Plane`.

    `in_flight` is the result of `load`, None if the proxy does not answer. `published` has every Traffic in order.
    """

    def __init__(self, *, revision: str = "gateway-1") -> None:
        self.revision = revision
        self.published: list[Traffic] = []
        self.in_flight: dict[str, int] | None = {}
        self.closed = False
        self.rejections: dict[str, str] = {}

    @property
    def traffic(self) -> Traffic:
        """The Traffic that was published last."""
        return self.published[-1]

    def template(self) -> ProcessTemplate:
        """Return a template that names the revision and runs nothing."""
        return ProcessTemplate(revision=self.revision, command=("envoy",))

    async def publish(self, traffic: Traffic) -> None:
        """Record `traffic`."""
        self.published.append(traffic)

    def rejected(self) -> Mapping[str, str]:
        """Return the rejections that the test has set."""
        return dict(self.rejections)

    def acknowledged(self) -> bool:
        """Whether its proxy answers."""
        return self.in_flight is not None

    async def load(self) -> Load | None:
        """Return the requests in flight that the test has set."""
        return None if self.in_flight is None else Load(in_flight=dict(self.in_flight))

    async def close(self) -> None:
        """Record that the channel is closed."""
        self.closed = True
