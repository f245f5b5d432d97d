"""A state that cannot be saved stops nothing, is reported, and is saved once there is room (A21)."""

from pathlib import Path

import pytest

from bateau.control.saving import RETRY_S, Saving
from bateau.domain.errors import ControlError
from bateau.domain.event import Event
from bateau.domain.problem import Severity
from bateau.kit.json_value import object_at
from bateau.testing import FakeMemory, ManualClock
from control.world import app, model, world


def test_parts_that_could_not_be_saved_are_saved_together_when_it_is_due() -> None:
    memory, clock = FakeMemory(), ManualClock()
    saving = Saving(memory, clock)
    memory.full = True
    saving.save({"a": 1})
    saving.save({"b": 2})
    assert saving.trouble == "cannot write control.json: No space left on device (free some space)"
    memory.full = False
    saving.retry()
    assert memory.load() == {}, "it is not due yet"
    assert saving.retry_in() == RETRY_S
    clock.advance(RETRY_S)
    saving.retry()
    assert memory.load() == {"a": 1, "b": 2}
    assert (saving.trouble, saving.retry_in()) == (None, None)


def test_a_part_is_dropped_and_a_full_disk_does_not_stop_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A21: `down` works on a full disk."""
    memory = FakeMemory()
    saving = Saving(memory, ManualClock())
    saving.save({"texts": {}, "rollbacks": {}})
    memory.full = True
    saving.drop("texts")
    assert "No space left" in caplog.text
    memory.full = False
    saving.drop("texts")
    assert memory.load() == {"rollbacks": {}}


async def test_specs_that_are_applied_on_a_full_disk_run_and_are_reported_as_unsaved_until_there_is_room() -> None:
    """A21: the specs have no errors, and that is not said of them."""
    memory = FakeMemory()
    async with world(memory=memory, chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        memory.full = True
        w.texts.write("shop", app())
        await w.until(lambda: len(w.status.services) == 2 and w.status.rolled_out)
        status = w.status
        assert (status.accepted, status.settled, status.specs_rejected) == (True, True, False)
        (problem,) = status.problems
        assert problem.severity is Severity.WARNING
        assert problem.says == (
            "the state of this instance is not saved: cannot write control.json: No space left on device "
            "(free some space)"
        )
        assert not any(event.reason == "SpecsRejected" for event in w.events)
        memory.full = False
        await w.pass_time(RETRY_S)
        assert not w.status.problems
        saved = memory.load()
        assert set(object_at(saved, "texts")) == {"chat.yaml", "shop.yaml"}
        assert list(object_at(saved, "app_ports")) == ["app/shop/http"]
        ports = w.control.addresses()
        await w.restart()
        await w.turn()
        assert w.control.addresses() == ports, "clients find the app where it was"


async def test_only_errors_in_specs_are_reported_as_such() -> None:
    """A21."""
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        w.texts.trouble = ControlError("the directory cannot be read")
        w.texts.touch()
        await w.until(lambda: w.status.problems)
        assert not w.status.specs_rejected
        w.texts.trouble = None
        w.texts.write("chat", model(parallel="many"))
        await w.until(lambda: w.status.specs_rejected)
        rejected: list[Event] = [event for event in w.events if event.reason == "SpecsRejected"]
        assert len(rejected) == 1


async def test_a_full_disk_is_in_the_status_while_everything_continues() -> None:
    """A21."""
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        w.keeper.trouble = ("the disk at /x, which holds /x/logs, is full: 0 B of 60 MiB are free",)
        await w.turn()
        (problem,) = w.status.problems
        assert problem.says == w.keeper.trouble[0]
        assert (problem.severity, w.status.rolled_out, w.status.settled) == (Severity.WARNING, True, True)


async def test_the_history_is_written_once_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A21."""
    async with world(history=tmp_path / "h", chat=model()) as w:
        revisions = w.revisions
        assert revisions
        await w.until(lambda: w.status.rolled_out)
        record = revisions.record

        def full(*_: object) -> None:
            raise ControlError("cannot record a revision: h has no space left")

        monkeypatch.setattr(revisions, "record", full)
        before = len(revisions.history())
        w.texts.write("shop", app())
        await w.until(lambda: w.status.problems)
        assert "the history cannot be written: cannot record a revision" in w.status.problems[0].says
        monkeypatch.setattr(revisions, "record", record)
        await w.pass_time(RETRY_S)
        assert not w.status.problems
        assert len(revisions.history()) == before + 1
