"""The live table of `bateau top`, on a screen of its own that gives the terminal back as it was.

Called by cli.top.

Invariant: an answer that does not come leaves the last figures, and the screen says since when they are old. Held by
tests/cli/test_top.py::test_a_silent_control_plane_is_reported_with_the_age_of_the_figures.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Final

import click
from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import HSplit, Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.output import ColorDepth

from bateau.cli.top_rows import ORDERS, Order, Sample, header_line, table_text
from bateau.domain.errors import ControlError
from bateau.kit.visible import visible_line

_EVERY_S: Final = 2.0
_HEAD_LINES: Final = 3


class Screen:
    """The table on a terminal, refreshed every two seconds. `ask` raises ControlError, at first out of `run`."""

    def __init__(self, ask: Callable[[], Sample], order: Order, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._order: Order = order
        self._clock = clock
        self._sample: Sample | None = None
        self._answered_at = 0.0
        self._error: ControlError | None = None
        self.first_line = 0

    async def run(self) -> None:
        """Show the table until the user ends it. Raises ControlError if nothing answers at the start."""
        await self.refresh()
        if self._error:
            raise self._error
        app = self._application()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.exit)
        refreshing = asyncio.create_task(self._keep_fresh(app))
        try:
            await app.run_async()
        finally:
            refreshing.cancel()

    async def refresh(self) -> None:
        """Ask once."""
        try:
            self._sample = await asyncio.to_thread(self._ask)
        except ControlError as error:
            self._error = error
        else:
            self._error, self._answered_at = None, self._clock()

    def head(self) -> str:
        """Return the lines above the rows: the instance, an error and its age, and the names of the columns."""
        if self._sample is None:
            return ""
        says = ""
        if self._error:
            age = f"{self._clock() - self._answered_at:.0f} s"
            says = click.style(f"no answer for {age}: {visible_line(self._error.message)}", fg="red")
        return "\n".join((header_line(self._sample), says, self._lines()[0]))

    def body(self) -> str:
        """Return the rows."""
        return "\n".join(self._lines()[1:])

    def scroll(self, lines: int) -> None:
        """Move the first row that is shown."""
        last = max(len(self._lines()) - 2, 0)
        self.first_line = min(max(self.first_line + lines, 0), last)

    def order_by_next(self, step: int) -> None:
        """Change the order."""
        self._order = ORDERS[(ORDERS.index(self._order) + step) % len(ORDERS)]
        self.first_line = 0

    def _lines(self) -> list[str]:
        return table_text(self._sample, self._order).splitlines() if self._sample else [""]

    def _foot(self) -> str:
        return f"sorted by {self._order} (s, S: change)   arrows: scroll   q: end"

    async def _keep_fresh(self, app: Application[None]) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.refresh()
            app.invalidate()

    def _application(self) -> Application[None]:
        def shown(text: Callable[[], str]) -> FormattedTextControl:
            return FormattedTextControl(lambda: ANSI(text()))

        # A window scrolls as far as its cursor, which is the first line that is shown.
        body = FormattedTextControl(
            lambda: ANSI(self.body()), get_cursor_position=lambda: Point(x=0, y=self.first_line)
        )
        rows = Window(body, get_vertical_scroll=lambda _: self.first_line, always_hide_cursor=True)
        layout = HSplit(
            [
                Window(shown(self.head), height=_HEAD_LINES, always_hide_cursor=True),
                rows,
                Window(shown(self._foot), height=1, style="reverse"),
            ]
        )
        return Application(
            layout=Layout(layout),
            key_bindings=self._keys(rows),
            full_screen=True,
            color_depth=ColorDepth.DEPTH_1_BIT if "NO_COLOR" in os.environ else None,
        )

    def _keys(self, rows: Window) -> KeyBindings:
        keys = KeyBindings()

        def page() -> int:
            return max(rows.render_info.window_height - 1, 1) if rows.render_info else 1

        moves: dict[str, Callable[[], int]] = {
            "up": lambda: -1,
            "k": lambda: -1,
            "down": lambda: 1,
            "j": lambda: 1,
            "pageup": lambda: -page(),
            "pagedown": page,
            "home": lambda: -len(self._lines()),
            "end": lambda: len(self._lines()),
        }

        def scroll(event: KeyPressEvent) -> None:
            key = event.key_sequence[0].key
            self.scroll(moves[key.value if isinstance(key, Keys) else key]())

        def order(event: KeyPressEvent) -> None:
            self.order_by_next(1 if event.data == "s" else -1)

        def end(event: KeyPressEvent) -> None:
            event.app.exit()

        def suspend(event: KeyPressEvent) -> None:
            event.app.suspend_to_background()

        for key in moves:
            keys.add(key)(scroll)
        for key in ("s", "S"):
            keys.add(key)(order)
        for key in ("q", "c-c", "escape"):
            keys.add(key, eager=True)(end)
        keys.add("c-z")(suspend)
        return keys
