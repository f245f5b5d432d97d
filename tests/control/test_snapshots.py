"""Snapshots of the status are numbered: each change makes one, and readers can wait for the next one."""

import asyncio
from dataclasses import replace

from bateau.control.snapshots import Snapshots
from control.world import app, model, world


async def test_a_number_stands_for_one_content() -> None:
    """Invariant of control.snapshots: an unchanged status gets no new number, a changed one does."""
    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        status = w.status
    snapshots = Snapshots()
    assert snapshots.take(status).number == 1
    assert snapshots.take(status).number == 1
    assert snapshots.take(replace(status, settled=not status.settled)).number == 2
    assert snapshots.take(status).number == 3


async def test_who_waits_gets_the_next_snapshot_and_only_that() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        await w.turns()
        latest = w.control.snapshots.latest
        assert latest
        waiting = asyncio.create_task(w.control.snapshots.after(latest.number))
        await w.turns()
        assert not waiting.done(), "nothing has changed"
        w.keeper.crash("model.chat.0", "exited with code 1")
        await w.turn()
        assert (await waiting).number > latest.number


async def test_a_number_of_an_earlier_control_plane_is_answered_at_once() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        async with asyncio.timeout(1.0):
            assert (await w.control.snapshots.after(100_000)).number < 100_000


async def test_quiet_turns_make_no_snapshot() -> None:
    async with world(chat=model(replicas=2), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        await w.turns()
        before = w.control.snapshots.latest
        await w.turns(20)
        assert w.control.snapshots.latest is before


async def test_what_happens_is_told_as_events_once() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        w.keeper.crash("model.chat.0", "exited with code 1")
        await w.turn()
        w.keeper.restart("model.chat.0")
        await w.until(lambda: w.status.rolled_out)
        await w.turns()
        told = [(event.subject, event.reason) for event in w.events if event.subject == "model.chat.0"]
        assert told == [
            ("model.chat.0", "Ready"),
            ("model.chat.0", "BackOff"),
            ("model.chat.0", "Restarted"),
            ("model.chat.0", "Ready"),
        ]
        died = next(event for event in w.events if event.reason == "BackOff")
        assert (died.says, died.warning, died.fields["service"]) == ("exited with code 1", True, "model/chat")


async def test_a_restart_has_its_cause_and_being_out_of_memory_is_an_event_of_its_own() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        for says in ("killed by signal 9 (SIGKILL): out of memory, its limit is 64 MB", "exited with code 3"):
            w.keeper.crash("model.chat.0", says)
            w.keeper.restart("model.chat.0")  # at once: no snapshot sees it dead
            await w.turn()
        found = [event for event in w.events if event.subject == "model.chat.0" and event.reason != "Ready"]
        assert [(event.reason, event.warning) for event in found] == [
            ("OutOfMemory", True),
            ("Restarted", False),
            ("Restarted", False),
        ]
        assert found[0].says == found[1].says == "killed by signal 9 (SIGKILL): out of memory, its limit is 64 MB"
        assert [event.fields.get("signal") for event in found] == ["SIGKILL", "SIGKILL", None]
        assert found[2].fields["exitCode"] == "3"


async def test_scaling_is_an_event_with_both_numbers() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        w.texts.write("chat", model(replicas=3))
        await w.until(lambda: w.status.rolled_out and len(w.status.services[0].replicas) == 3)
        assert [event.says for event in w.events if event.reason == "Scaled"] == ["from 1 to 3 replicas"]
