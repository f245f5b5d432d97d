"""A prober with answers that a test sets.

Invariant: an address without an answer is healthy. Held by tests/ports/test_fakes.py.
"""

from bateau.domain.process import ProbeTarget


class FakeProbe:
    """Satisfies `bateau.ports.probe.Prober`. `answers` maps addresses to None (healthy) or to the failure."""

    def __init__(self) -> None:
        self.answers: dict[str, str | None] = {}
        self.asked: list[ProbeTarget] = []

    async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
        """Return the answer for the target's address at once; the timeout has no effect."""
        del timeout_s
        self.asked.append(target)
        return self.answers.get(target.address)
