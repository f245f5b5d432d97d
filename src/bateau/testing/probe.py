"""A prober that answers what a test has told it.

Invariant: an address that nobody spoke of is well.
"""

from bateau.domain.process import ProbeTarget


class FakeProbe:
    """Satisfies `bateau.ports.probe.Prober`. `answers` maps addresses to None (well) or to what is wrong."""

    def __init__(self) -> None:
        self.answers: dict[str, str | None] = {}
        self.asked: list[ProbeTarget] = []

    async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
        """Return the answer set for the target's address at once; the timeout is of no effect."""
        del timeout_s
        self.asked.append(target)
        return self.answers.get(target.address)
