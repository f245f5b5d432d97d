"""What a prober offers. Used by engines; satisfied by observe.probes and testing.FakeProbe."""

from typing import Protocol

from bateau.domain.process import ProbeTarget


class Prober(Protocol):
    """Asks a process whether it is well."""

    async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
        """Return None when the target is well, else one line that says what is wrong. Never raises."""
        ...
