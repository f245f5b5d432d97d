"""Promises of the shipped fakes that no shared suite covers."""

import pytest

from bateau.domain.errors import ControlError
from bateau.domain.process import ProbeTarget
from bateau.kit.json_value import object_at
from bateau.testing import FakeMemory, FakeProbe, FakeSource, FakeTexts, ManualClock


def test_monotonic_time_never_goes_back() -> None:
    clock = ManualClock(wall=100.0)
    clock.advance(5.0)
    clock.set_wall(1.0)
    assert (clock.monotonic(), clock.wall()) == (5.0, 1.0)
    with pytest.raises(ValueError, match="positive"):
        clock.advance(-1.0)
    assert clock.monotonic() == 5.0


def test_saved_state_is_a_copy() -> None:
    memory = FakeMemory()
    tree = {"holds": {"a": 1}}
    memory.save(tree)
    tree["holds"]["a"] = 2
    object_at(memory.load(), "holds")["a"] = 3
    assert memory.load() == {"holds": {"a": 1}}
    memory.full = True
    with pytest.raises(ControlError):
        memory.save({})


async def test_an_address_without_an_answer_is_healthy() -> None:
    probe = FakeProbe()
    probe.answers["here"] = "answered 503"
    assert await probe.probe(ProbeTarget(kind="http", address="here"), 1.0) == "answered 503"
    assert await probe.probe(ProbeTarget(kind="http", address="there"), 1.0) is None


def test_a_model_is_not_found_before_it_has_arrived() -> None:
    source = FakeSource()
    assert source.find("hf://org/repo/m.gguf") is None
    source.arrive("hf://org/repo/m.gguf")
    assert source.find("hf://org/repo/m.gguf")


async def test_every_change_of_a_text_is_reported() -> None:
    texts = FakeTexts(a="1")
    changes = texts.changes()
    for change in (lambda: texts.write("a", "2"), lambda: texts.remove("a"), texts.touch):
        change()
        await anext(changes)
