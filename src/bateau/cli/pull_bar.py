"""A bar for a model that is fetched; plain lines where nobody watches.

Called by `models pull`.
"""

import time
from types import TracebackType
from typing import Self

import click

from bateau.cli.presenter import is_terminal_err
from bateau.cli.table import size
from bateau.domain.model_file import Progress

_PLAIN_EVERY_S = 5.0
_PAINT_EVERY_S = 0.1


class PullBar:
    """Shows progress on stderr."""

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._paints = is_terminal_err()
        self._started = time.monotonic()
        self._painted = 0.0 if self._paints else self._started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._paints and self._painted:
            click.echo("\r\033[K", nl=False, err=True)

    def show(self, progress: Progress) -> None:
        """Paint, unless that was done a moment ago."""
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
