"""What a prober offers. Used by runtimes; satisfied by observe.probes and testing.FakeProbe."""

from typing import Protocol

from bateau.domain.process import ProbeTarget

NO_ANSWER = "no answer"
"""How a line begins where the target kept silent: it may merely be busy, so one such line changes nothing yet."""


class Prober(Protocol):
    """Asks a process whether it is well."""

    async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
        """Return None when the target is well, else one line that says what is wrong. Never raises."""
        ...
