"""Keep a page up to date: a stream of the parts that have changed, and of new lines of a log.

Called by ui.dashboard.

The stream sends numbered snapshots, as that of the control API does, but as parts of a page instead of JSON. A browser
that has lost the stream connects again and gets all parts.
Source: Server-Sent Events, WHATWG HTML, section 9.2.

Invariant: while nothing changes, nothing is made or sent but a sign of life. Held by
tests/ui/test_live.py::test_while_nothing_changes_only_a_sign_of_life_is_sent.
Invariant: a page gets the parts and rows that have changed since it was made, and no others. Held by
tests/ui/test_live.py::test_a_page_gets_nothing_that_it_has.
Invariant: a stream ends with its session. Held by tests/ui/test_live.py::test_a_stream_ends_with_its_session.
"""

import asyncio
import hashlib
import json
import operator
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from bateau.domain.alert import AlertBoard
from bateau.domain.sign_in import Role
from bateau.kit.ticks import next_tick
from bateau.ui.instance import Instance
from bateau.ui.log_lines import LogLines
from bateau.ui.page import Page, Part, Screen, View
from bateau.ui.rows import Table, table_of

PAUSE_S: Final = 0.4  # between two looks, however fast the snapshots come
LOOK_S: Final = 2.0  # without a snapshot: the figures may have changed
LOG_LOOK_S: Final = 0.6
ALERT_LOOK_S: Final = 0.5
SIGN_OF_LIFE_S: Final = 5.0
_PAGES_MAX: Final = 64

Send = Callable[[str, Mapping[str, object]], Awaitable[None]]


@dataclass(frozen=True)
class Known:
    """A page as it was made from a view. It is None if it does not exist. `tables` are its parts with rows."""

    view: View
    screen: Screen | None
    parts: Mapping[str, str]
    tables: Mapping[str, Table]

    @cached_property
    def digest(self) -> str:
        """A digest of its parts: a reader that names it has them already."""
        return hashlib.sha256("\0".join(self.parts.values()).encode("utf-8", "replace")).hexdigest()[:16]

    def is_of(self, view: View) -> bool:
        """Whether another view would give the same page. Releases are compared as objects: they are large."""
        mine = self.view
        numbers = (mine.status.number, mine.figures.number, mine.needs_key)
        same = mine.release is view.release and mine.events is view.events and mine.alerts is view.alerts
        same = same and mine.reports.are(view.reports) and mine.change == view.change
        return same and numbers == (view.status.number, view.figures.number, view.needs_key)


def _text(part: Part, known: Known | None) -> str:
    """Return a part as text: that of the page before, if it depends on the same objects."""
    if part.of and known and known.screen:
        before = next((each for each in known.screen.parts if each.id == part.id), None)
        if before and len(before.of) == len(part.of) and all(map(operator.is_, before.of, part.of)):
            return known.parts[part.id]
    return part.text


class Made:
    """The parts of pages as text. Readers of the same page share them while the view is the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Role], Known] = {}
        self._former: dict[tuple[str, Role], Known] = {}

    def had(self, path: str, role: Role, digest: str) -> Known | None:
        """Return the page of a digest that was made last, or before that."""
        found = (known.get((path, role)) for known in (self._known, self._former))
        return next((each for each in found if each and each.digest == digest), None)

    def of(self, page: Page, path: str, given: Mapping[str, str], view: View) -> Known:
        """Return a page with its parts."""
        known = self._known.get((path, view.role))
        if known is None or not known.is_of(view):
            screen = page.make(view, given)
            parts = {each.id: _text(each, known) for each in screen.parts} if screen else {}
            if len(self._known) >= _PAGES_MAX:
                self._known.clear()
                self._former.clear()
            if known:
                self._former[path, view.role] = known
            tables = {
                each.id: known.tables[each.id]
                if known and each.id in known.tables and known.parts[each.id] == parts[each.id]
                else table_of(parts[each.id], each.rows)
                for each in (screen.parts if screen else ())
                if each.rows
            }
            known = self._known[path, view.role] = Known(view, screen, parts, tables)
        return known


class Stream:
    """One reader of one page, from `run` to its end. `view` returns what it shows to a role."""

    def __init__(
        self,
        instance: Instance,
        made: Made,
        *,
        path: str,
        page: Page,
        given: Mapping[str, str],
        have: str = "",
        view: Callable[[], Awaitable[View | None]],
    ) -> None:
        """`have` is the digest of the page that the reader has; empty: it has none, or one that is not known."""
        self._instance = instance
        self._view = view
        self._made = made
        self._path = path
        self._page = page
        self._given = given
        self._have = have
        self._sent: Known | None = None
        self._sent_at = 0.0
        self._lines: LogLines | None = None

    async def run(self, send: Send, role: Callable[[], Role | None]) -> None:
        """Send events until the session or the control plane ends. `role` returns None once the session has ended."""
        snapshots, number = self._instance.snapshots, -1
        try:
            while not snapshots.ended:
                if role() is None:
                    await send("signed-out", {})
                    return
                if view := await self._view():
                    number = view.status.number
                    await self._send_parts(send, view)
                await self._send_lines(send)
                if time.monotonic() - self._sent_at >= SIGN_OF_LIFE_S:
                    await self._send(send, "alive", {"number": number})
                await asyncio.sleep(PAUSE_S)
                await self._wait(number, view.alerts if view else None)
        finally:
            if self._lines:
                await self._lines.close()

    async def _wait(self, number: int, alerts: AlertBoard | None) -> None:
        """Wait for a snapshot, or until other alerts fire, and no longer than until the figures may have changed."""
        until = time.monotonic() + (LOG_LOOK_S if self._lines else LOOK_S)
        while (now := time.monotonic()) < until and alerts in (None, self._instance.alerts.board()):
            with suppress(TimeoutError):
                async with asyncio.timeout(min(until, next_tick(now, ALERT_LOOK_S)) - now):
                    await self._instance.snapshots.after(number)
                    return

    async def _send_parts(self, send: Send, view: View) -> None:
        known = self._made.of(self._page, self._path, self._given, view)
        sent = self._sent or self._made.had(self._path, view.role, self._have)
        screen = known.screen
        if screen is None:
            await self._send(send, "gone", {})
            return
        if screen.log_of and self._instance.logs and self._lines is None:
            self._lines = LogLines(self._instance.logs, screen.log_of)
        if known is sent:
            self._sent = known
            return
        live = {each.id for each in screen.parts if each.live}
        before = sent.parts if sent else dict[str, str]()
        changed = {name: text for name, text in known.parts.items() if name in live and before.get(name) != text}
        self._sent = known
        tables = known.tables.items() if sent else ()
        rows = {name: news for name, table in tables if (news := table.news(sent.tables.get(name) if sent else None))}
        whole = {name: text for name, text in changed.items() if name not in rows}
        if changed:
            found = {"number": view.status.number, "parts": whole, "have": known.digest}
            await self._send(send, "parts", {**found, "rows": [rows[name] for name in changed if name in rows]})

    async def _send_lines(self, send: Send) -> None:
        if self._lines is None:
            return
        self._lines.follow_new()
        lines, lost = self._lines.taken()
        if lines:
            await self._send(send, "lines", {"lines": lines, "lost": lost})

    async def _send(self, send: Send, event: str, data: Mapping[str, object]) -> None:
        self._sent_at = time.monotonic()
        await send(event, data)


def event_text(event: str, data: Mapping[str, object]) -> bytes:
    r"""Return an event in the form of a stream. JSON has no line breaks, so it is one line.

    >>> event_text("alive", {"number": 7})
    b'id: 7\nevent: alive\ndata: {"number": 7}\n\n'
    """
    number = f"id: {data['number']}\n" if "number" in data else ""
    return f"{number}event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode("utf-8", "replace")
