"""Fakes of the ports, shipped so that tests of code that builds on Bateau need no processes and no network."""

from bateau.testing.clock import ManualClock
from bateau.testing.keeper import FakeKeeper
from bateau.testing.memory import FakeMemory
from bateau.testing.plane import FakePlane
from bateau.testing.probe import FakeProbe
from bateau.testing.runtime import FakeRuntime
from bateau.testing.source import FakeSource, model_file
from bateau.testing.texts import FakeTexts

__all__ = [
    "FakeKeeper",
    "FakeMemory",
    "FakePlane",
    "FakeProbe",
    "FakeRuntime",
    "FakeSource",
    "FakeTexts",
    "ManualClock",
    "model_file",
]
