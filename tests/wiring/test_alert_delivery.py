"""Deliveries to receivers that fail, hang behind, or have a bug."""

from pathlib import Path

from control.world import model
from wiring.alert_instance import FakeReceiver, alert_instance
from wiring.test_alerts import LOOP, restarts


async def test_a_failing_receiver_keeps_nobody_else_waiting(tmp_path: Path):
    good, bad = FakeReceiver("good"), FakeReceiver("bad")
    bad.why = "HTTP 503"
    async with alert_instance(tmp_path, good, bad, chat=model()) as it:
        restarts(it, 3)
        await it.after(1)
        assert (good.told, bad.told) == ([LOOP[0]], [])
        (failed,) = [each for each in it.events if each.reason == "DeliveryFailed"]
        assert failed.says == "alerts could not be delivered to bad: HTTP 503; Bateau retries"
        assert it.alerts.board().receivers == (("good", None), ("bad", "HTTP 503"))
        for _ in range(10):
            await it.after(15)
        assert bad.tries < 9, "it is asked less and less often"
        assert len([each for each in it.events if each.reason == "DeliveryFailed"]) == 1
        assert "BateauDeliveryFailed" in it.firing(), "the other receivers hear of it"
        assert ("BateauDeliveryFailed", "firing") in good.told
        await it.after(700)
        bad.why = None
        await it.after(300)
        await it.after(300)
        assert ("BateauRestartLoop", "firing") not in bad.told, "it has come and gone meanwhile"
        assert it.alerts.board().receivers == (("good", None), ("bad", None))


async def test_a_receiver_with_a_bug_is_one_that_fails(tmp_path: Path):
    good, bad = FakeReceiver("good"), FakeReceiver("bad")
    bad.error = ValueError("a secret")
    async with alert_instance(tmp_path, bad, good, chat=model()) as it:
        restarts(it, 3)
        await it.after(1)
        assert good.told == [LOOP[0]]
        assert it.alerts.failing() == {"bad": "a bug: ValueError"}


async def test_a_notice_that_is_sent_again_has_the_same_id(tmp_path: Path):
    hook = FakeReceiver()
    async with alert_instance(tmp_path, hook, chat=model()) as it:
        restarts(it, 3)
        await it.after(1)
        before = (tmp_path / "state" / "alerts.json").read_text()
        (tmp_path / "state" / "alerts.json").write_text(before.replace('"told": {"hook": {', '"told": {"gone": {'))
        it.restart()  # killed after the answer, and before it was saved
        restarts(it, 3)
        await it.after(1)
        first, second = hook.notices
        assert first.id == second.id


async def test_a_receiver_that_wants_that_hears_of_firing_alerts_again(tmp_path: Path):
    manager, hook = FakeReceiver("alertmanager", resend_s=60), FakeReceiver()
    async with alert_instance(tmp_path, manager, hook, chat=model()) as it:
        restarts(it, 3)
        await it.after(1)
        count = len(manager.notices)
        for _ in range(12):
            await it.after(15)
        assert 3 <= len(manager.notices) - count <= 5
        assert hook.told == [LOOP[0]]
        await it.after(700)
        await it.after(120)
        assert manager.told[-1] == LOOP[1]
        assert manager.told.count(LOOP[1]) == 1
