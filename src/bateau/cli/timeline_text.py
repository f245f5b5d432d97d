"""Print the events of a timeline.

Called by cli.cluster_timeline and cli.timeline.

Invariant: no control character of an event reaches the terminal, and no text of an event is a line of its own. Held by
tests/cli/test_timeline.py::test_escape_sequences_of_other_systems_are_shown_as_text.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from bateau.domain.timeline import Entry

_WIDTHS: Final = (19, 14, 9)  # of time, subject and reason, at least
_COMMIT_SHOWN: Final = 12


def print_json(entries: "Sequence[Entry]", coming: "Iterator[Entry] | None" = None) -> None:
    """Print a list, or one object per line with those that are coming."""
    from bateau.api.encoding import encode
    from bateau.api.timeline_json import entry_json
    from bateau.kit.visible import visible_json

    if coming is None:
        click.echo(visible_json(encode([entry_json(entry) for entry in entries])))
        return
    for each in (entries, coming):
        for entry in each:
            click.echo(visible_json(encode(entry_json(entry))))


def print_lines(entries: "Sequence[Entry]", service: str | None, coming: "Iterator[Entry] | None" = None) -> None:
    """Print one line per event, and then those that are coming."""
    rows = [_cells(entry) for entry in entries]
    header = ("WHEN", "SUBJECT", "REASON", "WHAT")
    widths = [max(least, *(len(row[at]) for row in (header, *rows))) for at, least in enumerate(_WIDTHS)]
    if rows or coming:
        click.echo(_line(header, widths, warning=False))
    else:
        click.echo(f"no event{f' of {service}' if service else ''} was recorded in this time")
    for row, entry in zip(rows, entries, strict=True):
        click.echo(_line(row, widths, warning=entry.event.warning))
    for entry in coming or ():
        click.echo(_line(_cells(entry), widths, warning=entry.event.warning))


def _line(cells: tuple[str, str, str, str], widths: list[int], *, warning: bool) -> str:
    when, subject, reason = (cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
    return "  ".join((when, subject, click.style(reason, fg="yellow") if warning else reason, cells[-1])).rstrip()


def _cells(entry: "Entry") -> tuple[str, str, str, str]:
    from bateau.domain.timeline import ACTOR, COMMIT, LINK, SOURCE
    from bateau.kit.visible import visible_line

    event = entry.event
    when = dt.datetime.fromtimestamp(event.when_s, tz=dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    what = [event.says]
    if commit := event.fields.get(COMMIT):
        what.append(f"commit {commit[:_COMMIT_SHOWN]}")
    if actor := event.fields.get(ACTOR):
        what.append(f"by {actor}")
    if source := event.fields.get(SOURCE):
        what.append(f"from {source}")
    what.append(event.fields.get(LINK, ""))
    return when, visible_line(event.subject), visible_line(event.reason), visible_line(", ".join(filter(None, what)))
