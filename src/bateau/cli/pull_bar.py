"""Show the progress of a fetch: a bar on a terminal, lines elsewhere, and why it waits.

Called by cli.models.

Invariant: everything goes to stderr; stdout has the result alone. Held by tests/cli/test_pull_bar.py.
"""

import logging
import time
from types import TracebackType
from typing import Self

import click

from bateau.cli.presenter import is_terminal_err
from bateau.cli.table import size
from bateau.domain.model_file import Progress
from bateau.kit.visible import visible

_PLAIN_EVERY_S = 5.0
_PAINT_EVERY_S = 0.1


class PullBar(logging.Handler):
    """Shows progress, and the log of the sources: the chosen file, retries, a damaged copy."""

    def __init__(self, reference: str) -> None:
        super().__init__(logging.INFO)
        self._log = logging.getLogger("bateau.sources")
        self._reference = reference
        self._paints = is_terminal_err()
        self._started = time.monotonic()
        self._painted = 0.0 if self._paints else self._started
        self._level = self._log.level

    def __enter__(self) -> Self:
        self._level = self._log.level
        self._log.addHandler(self)
        self._log.setLevel(logging.INFO)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._log.removeHandler(self)
        self._log.setLevel(self._level)
        self._clear()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line of the log. Called by logging."""
        self._clear()
        click.echo(visible(record.getMessage()), err=True)

    def show(self, progress: Progress) -> None:
        """Show the progress, unless it was shown a moment ago."""
        now = time.monotonic()
        if now - self._painted < (_PAINT_EVERY_S if self._paints else _PLAIN_EVERY_S):
            return
        self._painted = now
        done, total = progress.bytes_done, progress.bytes_total
        rate = size(int(done / max(now - self._started, 0.001)))
        text = (
            f"{self._reference}  {size(done)} of {size(total)}  {rate}/s"
            if total
            else f"{self._reference}  {size(done)}"
        )
        if self._paints:
            click.echo(f"\r\033[K{text}", nl=False, err=True)
        else:
            click.echo(text, err=True)

    def _clear(self) -> None:
        if self._paints and self._painted:
            click.echo("\r\033[K", nl=False, err=True)
