"""Events on the pages: all of them, those of a service, and texts of other systems as text."""

from dataclasses import replace

import pytest

from bateau.domain.event import Event
from bateau.domain.timeline import Entry
from bateau.ui.page import View
from ui.served import Served, a_view
from ui.test_pages import parts_of

EVENTS = (
    Entry(number=1, event=Event(when_s=1_764_000_000, subject="desired", reason="Pushed", says="two commits")),
    Entry(
        number=2,
        event=Event(
            when_s=1_764_000_007,
            subject="app.shop.1",
            reason="Restarted",
            says="it was killed by SIGKILL",
            warning=True,
            fields={"service": "app/shop", "revision": "3", "commit": "0123456789abcdef", "actor": "ada"},
        ),
    ),
    Entry(number=3, event=Event(when_s=1_764_000_009, subject="app/cart", reason="Ready")),
)


@pytest.fixture
async def view() -> View:
    return replace(await a_view(), events=EVENTS)


async def test_the_latest_event_comes_first(view: View) -> None:
    text = parts_of(view, "/timeline")["events"]
    rows = [text.index(f'id="event-{number}"') for number in (3, 2, 1)]
    assert rows == sorted(rows)
    assert '<time datetime="2025-11-24T16:00:07+00:00">2025-11-24 16:00:07</time>' in text
    for shown in ('href="/ui/services/app/shop"', "killed by SIGKILL", "0123456789", "revision 3", "by ada", "Pushed"):
        assert shown in text, shown


async def test_an_event_of_a_replica_names_it(view: View) -> None:
    for path in ("/timeline", "/services/app/shop"):
        text = parts_of(view, path)["events"]
        assert '<strong class="state bad">Restarted</strong> <span class="note">app.shop.1</span>' in text
        assert ">app/shop<" not in text
        assert text.count("desired") <= 1


async def test_a_service_has_its_own_events(view: View) -> None:
    text = parts_of(view, "/services/app/shop")["events"]
    assert 'id="event-2"' in text
    assert 'id="event-1"' not in text
    assert 'id="event-3"' not in text
    assert "hidden" in parts_of(view, "/services/model/chat")["events"]


async def test_what_another_system_has_sent_is_text(view: View) -> None:
    odd = "<script>alert(1)</script>\x1b[31m\u202e"
    fields = {"service": f"app/{odd}", "actor": odd, "source": odd, "commit": odd, "revision": odd}
    for link in ("javascript:alert(1)", odd):
        event = Event(when_s=1, subject=odd, reason=odd, says=odd, fields={**fields, "link": link})
        text = parts_of(replace(view, events=(Entry(number=1, event=event),)), "/timeline")["events"]
        assert "<script" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "javascript:" not in text
        assert text.count("&lt;script&gt;") >= 5


async def test_an_unreadable_timeline_is_not_an_empty_one(view: View) -> None:
    assert "cannot be read" in parts_of(replace(view, events=None), "/timeline")["events"]
    assert "Nothing has happened yet" in parts_of(replace(view, events=()), "/timeline")["events"]


async def test_a_new_event_is_on_the_next_page(dashboard: Served) -> None:
    dashboard.events = EVENTS[:1]
    await dashboard.sign_in()
    assert "Pushed" in (await dashboard.get("/ui/timeline")).text
    dashboard.events = EVENTS
    assert "Restarted" in (await dashboard.get("/ui/timeline")).text
