"""Alerts on the pages of the dashboard, and who may change something about them."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bateau.domain.alert import Alert, AlertBoard, Shown, Silence, Trial
from bateau.domain.errors import ControlError
from control.alerts import firing, silence
from ui.served import ORIGIN, Served
from ui.test_pages import a_view, parts_of

SCRIPT = "<script>alert(1)</script>"


class FakeDesk:
    """Alerts that a test sets."""

    def __init__(self) -> None:
        self.now = AlertBoard()
        self.asked: list[tuple[object, ...]] = []
        self.refusal: ControlError | None = None

    def board(self) -> AlertBoard:
        return self.now

    def silence(self, *, service: str | None, name: str | None, for_s: float, why: str, by: str) -> Silence:
        if self.refusal:
            raise self.refusal
        self.asked.append((service, name, for_s, why, by))
        return silence(service=service, name=name, until=1_800_000_000.0)

    def unsilence(self, silence: str) -> Silence:
        self.asked.append((silence,))
        return Silence(id=silence, service=None, name=None, until=0.0, why="", by="", created_at=0.0)

    async def test(self) -> Sequence[Trial]:
        return [Trial(receiver="webhook", error=None), Trial(receiver="mail", error="SMTP 550")]


@pytest.fixture
def desk(dashboard: Served) -> FakeDesk:
    made = FakeDesk()
    dashboard.use_alerts(made)
    return made


def board(*alerts: Alert, ended: Sequence[Alert] = (), silenced: Silence | None = None) -> AlertBoard:
    return AlertBoard(
        firing=tuple(Shown(alert=each, silence=silenced) for each in alerts),
        ended=tuple(ended),
        silences=(silenced,) if silenced else (),
        receivers=(("webhook", None), ("mail", "SMTP 550")),
    )


async def test_alerts_are_shown_on_the_overview_and_on_the_page_of_their_service() -> None:
    view = replace(await a_view(), alerts=board(firing(), firing("BateauDiskFull", service="app/shop")))
    overview = parts_of(view, "/")["alerts"]
    assert "2 alerts" in overview
    assert "model.chat.0 Restarted: killed by signal 9 (SIGKILL)" in overview
    assert 'href="/ui/services/model/chat"' in overview
    assert "BateauDiskFull" not in parts_of(view, "/services/model/chat")["alerts"]
    assert "BateauDiskFull" in parts_of(view, "/services/app/shop")["alerts"]
    assert "hidden" in parts_of(view, "/services/gateway/envoy")["alerts"]


async def test_without_alerts_there_is_nothing_to_see() -> None:
    view = await a_view()
    assert "hidden" in parts_of(view, "/")["alerts"]
    assert "Nothing is wrong that a rule knows of." in parts_of(view, "/alerts")["summary"]
    assert "BATEAU_ALERTS_WEBHOOK_URL" in parts_of(view, "/alerts")["receivers"]


async def test_the_page_of_alerts_has_all_of_them() -> None:
    made = board(firing(), ended=[firing("BateauServiceDown", ended=1100.0)], silenced=silence(until=2000.0))
    parts = parts_of(replace(await a_view(), alerts=made, role="admin"), "/alerts")
    assert "BateauServiceDown" in parts["ended"]
    assert "a rollout" in parts["silences"]
    assert "SMTP 550" in parts["receivers"]
    assert "silenced" in parts["alerts"]
    assert "End silence" in parts["alerts"]
    assert "BateauKeyExpires" in parts["rules"]


async def test_the_texts_of_an_alert_are_text() -> None:
    alert = replace(
        firing(), summary=SCRIPT, description=SCRIPT, says=f"{SCRIPT}1", cause=SCRIPT, subject=SCRIPT, service=SCRIPT
    )
    over = replace(silence(until=2000.0, why=SCRIPT), by=SCRIPT, service=SCRIPT)
    view = replace(await a_view(), alerts=board(alert, ended=[replace(alert, ended_at=1.0)], silenced=over))
    for path in ("/", "/alerts"):
        html = "".join(parts_of(view, path).values())
        assert "<script>alert" not in html
        assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    "path", ["/ui/alerts/silence?service=app/shop&for=60", "/ui/alerts/unsilence/s1", "/ui/alerts/test"]
)
async def test_a_viewer_may_not_silence(dashboard: Served, desk: FakeDesk, path: str) -> None:
    await dashboard.sign_in("view")
    headers = {"x-csrf-token": await dashboard.csrf(), "origin": ORIGIN}
    assert (await dashboard.ask("POST", path, headers=headers)).status == 403
    await dashboard.sign_in("operate")
    assert (await dashboard.ask("POST", path, headers={"origin": ORIGIN})).status == 403, "without the token"
    assert desk.asked == []
    assert 'data-alert="' not in (await dashboard.get("/ui/alerts")).text.partition("silences")[0]


async def test_an_operator_silences_and_ends_a_silence(dashboard: Served, desk: FakeDesk) -> None:
    await dashboard.sign_in("operate")
    headers = {"x-csrf-token": await dashboard.csrf(), "origin": ORIGIN}
    path = "/ui/alerts/silence?service=model/chat&alert=BateauRestartLoop&for=7200&why=a+rollout"
    answer = await dashboard.ask("POST", path, headers=headers)
    assert (answer.status, answer.text) == (202, '{"says": "silenced until 2027-01-15 08:00 UTC"}')
    assert desk.asked.pop() == ("model/chat", "BateauRestartLoop", 7200.0, "a rollout", "the dashboard (operate)")
    assert (await dashboard.ask("POST", "/ui/alerts/unsilence/s1", headers=headers)).status == 202
    assert desk.asked == [("s1",)]
    answer = await dashboard.ask("POST", "/ui/alerts/test", headers=headers)
    assert answer.text == '{"says": "webhook: delivered; mail: SMTP 550"}'


@pytest.mark.parametrize("for_s", ["", "0", "-1", "1e9", "nan", "99999999999"])
async def test_a_silence_without_a_time_is_refused(dashboard: Served, desk: FakeDesk, for_s: str) -> None:
    await dashboard.sign_in("operate")
    headers = {"x-csrf-token": await dashboard.csrf(), "origin": ORIGIN}
    answer = await dashboard.ask("POST", f"/ui/alerts/silence?service=app/shop&for={for_s}", headers=headers)
    assert answer.status == 409
    assert "a silence needs a time" in answer.text
    assert desk.asked == []


async def test_a_new_alert_is_sent_to_a_page_that_is_open(dashboard: Served, desk: FakeDesk) -> None:
    await dashboard.sign_in("view")
    async with dashboard.stream("/") as events, asyncio.timeout(10):
        _, data = await anext(events)
        assert "hidden" in data["parts"]["alerts"]
        desk.now = board(firing())
        async for name, data in events:
            if name == "parts":
                assert "BateauRestartLoop" in data["parts"]["alerts"]
                break
