"""The alerts of an instance, from events to receivers, over restarts and with silences."""

from pathlib import Path

import pytest

from bateau.control.alert_book import GROUP_WAIT_S
from bateau.domain.alert_rules import RULES
from bateau.domain.errors import ControlError
from bateau.domain.event import Event
from bateau.domain.measures import REQUESTS, SERVER_ERRORS
from control.world import app, model
from wiring.alert_instance import AlertInstance, FakeReceiver, alert_instance

LOOP = ("BateauRestartLoop", "firing"), ("BateauRestartLoop", "resolved")


def restarts(it: AlertInstance, count: int, *, says: str = "killed by signal 9 (SIGKILL)") -> None:
    """Have the replica of chat restart."""
    now = it.world.clock.wall()
    fields = {"service": "model/chat"}
    for _ in range(count):
        it.alerts.emit(Event(when_s=now, subject="model.chat.0", reason="Restarted", says=says, fields=fields))


async def test_an_alert_is_delivered_with_its_cause_once_and_so_is_its_end(tmp_path: Path):
    hook = FakeReceiver()
    async with alert_instance(tmp_path, hook, chat=model(), shop=app()) as it:
        await it.after(15)
        assert (it.firing(), hook.told) == ([], [])
        restarts(it, 3)
        for _ in range(4):
            await it.after(15)
        assert it.firing() == ["BateauRestartLoop"]
        assert hook.told == [LOOP[0]]
        (notice,) = hook.notices
        assert (notice.group, notice.url) == ("model/chat", "http://127.0.0.1:8080")
        assert "model.chat.0 Restarted: killed by signal 9 (SIGKILL)" in notice.alerts[0].cause
        await it.after(700)
        await it.after(15)
        assert hook.told == [*LOOP]
        assert [each.name for each in it.alerts.board().ended] == ["BateauRestartLoop"]
        assert [(each.reason, each.subject) for each in it.events] == [
            ("AlertFiring", "model/chat"),
            ("AlertResolved", "model/chat"),
        ]


async def test_a_restart_delivers_nothing_twice_and_loses_no_end(tmp_path: Path):
    hook = FakeReceiver()
    async with alert_instance(tmp_path, hook, chat=model()) as it:
        restarts(it, 3)
        it.world.clock.advance(1)
        it.alerts.evaluate()
        it.restart()  # before it was delivered
        restarts(it, 3)  # as the timeline and the history still say
        await it.after(GROUP_WAIT_S)
        it.restart()
        restarts(it, 3)
        await it.after(60)
        assert hook.told == [LOOP[0]]
        it.restart()
        await it.after(700)
        it.restart()
        await it.after(15)
        assert hook.told == [*LOOP]


async def test_requests_that_fail_are_an_alert(tmp_path: Path):
    hook = FakeReceiver()
    async with alert_instance(tmp_path, hook, shop=app(slo={"availability": 99})) as it:
        for _ in range(5):
            it.world.clock.advance(15)
            it.history.add("app/shop", REQUESTS, 100, at=it.world.clock.wall())
            it.history.add("app/shop", SERVER_ERRORS, 50, at=it.world.clock.wall())
        await it.after(1)
        assert {name for name, _ in hook.told} == {"BateauErrorBudgetBurn", "BateauErrorBudgetBurnSlow"}
        assert len(hook.notices) == 1, "alerts of one service that fire together are one notice"
        assert "the objective allows 1.0 %" in hook.notices[0].alerts[0].says


async def test_nothing_ends_while_it_is_not_known_what_should_run(tmp_path: Path):
    hook = FakeReceiver()
    async with alert_instance(tmp_path, hook, chat=model()) as it:
        restarts(it, 3)
        await it.after(1)
        it.alerts.status = lambda: None
        await it.after(3600)
        assert it.firing() == ["BateauRestartLoop"]
        assert hook.told == [LOOP[0]]


async def test_the_alerts_of_a_removed_service_end(tmp_path: Path):
    hook = FakeReceiver()
    async with alert_instance(tmp_path, hook, chat=model(), shop=app()) as it:
        restarts(it, 3)
        await it.after(1)
        it.world.texts.remove("chat")
        await it.world.until(lambda: [each.service for each in it.world.status.services] == ["app/shop"])
        await it.after(1)
        assert hook.told == [*LOOP]


async def test_a_silence_keeps_alerts_back_and_is_remembered(tmp_path: Path):
    hook = FakeReceiver()
    async with alert_instance(tmp_path, hook, chat=model()) as it:
        made = it.alerts.silence(service="chat", name=None, for_s=600, why="a rollout", by="ada")
        assert (made.service, made.name) == ("model/chat", None)
        restarts(it, 3)
        await it.after(15)
        it.restart()
        restarts(it, 3)
        await it.after(15)
        assert hook.told == []
        (shown,) = it.alerts.board().firing
        assert shown.silence == made
        assert [each.reason for each in it.events] == ["AlertsSilenced", "AlertFiring"]
        it.alerts.unsilence(made.id)
        await it.after(15)
        assert hook.told == [LOOP[0]]


async def test_a_silence_ends_by_itself(tmp_path: Path):
    hook = FakeReceiver()
    async with alert_instance(tmp_path, hook, chat=model()) as it:
        it.alerts.silence(service=None, name="BateauRestartLoop", for_s=60, why="", by="ada")
        restarts(it, 3)
        await it.after(15)
        assert hook.told == []
        await it.after(60)
        assert hook.told == [LOOP[0]]
        assert it.alerts.board().silences == ()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"service": None, "name": None}, "needs a service or an alert"),
        ({"service": "caht", "name": None}, "there is no service caht"),
        ({"service": None, "name": "BateauRestartLop"}, "no rule has the name BateauRestartLop"),
        ({"service": "chat", "name": None, "for_s": 1e9}, "between a second and a year"),
        ({"service": "chat", "name": None, "for_s": float("nan")}, "between a second and a year"),
    ],
)
async def test_a_silence_of_nothing_is_refused(tmp_path: Path, asked: dict[str, object], says: str):
    async with alert_instance(tmp_path, chat=model()) as it:
        with pytest.raises(ControlError) as caught:
            it.alerts.silence(**({"for_s": 60.0, "why": "", "by": ""} | asked))  # pyright: ignore[reportArgumentType]
        assert says in caught.value.message
        with pytest.raises(ControlError, match="there is no silence 123"):
            it.alerts.unsilence("123")


async def test_a_test_reaches_every_receiver_and_is_no_alert(tmp_path: Path):
    good, bad = FakeReceiver("good"), FakeReceiver("bad")
    bad.why = "HTTP 404"
    async with alert_instance(tmp_path, good, bad, chat=model()) as it:
        assert [(each.receiver, each.error) for each in await it.alerts.test()] == [("good", None), ("bad", "HTTP 404")]
        assert good.told == [("BateauTest", "firing")]
        await it.after(15)
        assert (it.firing(), it.events) == ([], [])


async def test_a_board_is_the_same_object_until_something_changes(tmp_path: Path):
    async with alert_instance(tmp_path, chat=model()) as it:
        first = it.alerts.board()
        assert it.alerts.board() is first
        restarts(it, 3)
        await it.after(1)
        second = it.alerts.board()
        assert second is not first
        assert it.alerts.board() is second


def test_every_rule_has_a_name_of_its_own_and_a_fix():
    assert len({each.name for each in RULES}) == len(RULES)
    for each in RULES:
        assert each.name.startswith("Bateau")
        assert each.description.endswith(".")
        assert not each.summary.endswith(".")
