"""The port of a prober. Used by runtimes; satisfied by observe.probes and testing.FakeProbe."""

from typing import Protocol

from bateau.domain.process import ProbeTarget

NO_ANSWER = "no answer"
"""The start of the line if the target did not answer. It may only be busy, so one such line changes nothing yet."""


class Prober(Protocol):
    """Probes the health of a process."""

    async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
        """Return None if the target is healthy, otherwise the failure in one line. Never raises."""
        ...
