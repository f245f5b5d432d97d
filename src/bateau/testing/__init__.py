"""Stand-ins for the outer world, shipped so that tests of what builds on Bateau need no processes and no network."""

from bateau.testing.clock import ManualClock
from bateau.testing.engine import FakeEngine
from bateau.testing.probe import FakeProbe

__all__ = ["FakeEngine", "FakeProbe", "ManualClock"]
