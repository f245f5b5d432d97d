"""Format columns of text.

Called by cli.
"""

from collections.abc import Iterable, Sequence

import click

from bateau.kit.visible import visible

STATE_COLOURS = {
    "Ready": "green",
    "Done": "green",
    "Starting": "cyan",
    "Pulling": "cyan",
    "Degraded": "yellow",
    "Leaving": "yellow",
    "Stopped": "bright_black",
    "Elsewhere": "bright_black",
    "Failed": "red",
}


_EDIT_COLUMN_MAX = 34


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns; a cell that is a state gets its colour.

    >>> print(table(("NAME", "STATE"), [("chat", "42")]))
    NAME  STATE
    chat  42
    """
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(_line(line, widths) for line in lines)


def plain_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with aligned columns, without a header.

    >>> plain_columns([("a", "1"), ("long", "2")])
    ['a     1', 'long  2']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return [visible(line) for line in lines]


def edit_lines(edits: Iterable[tuple[str, str, str, str]]) -> list[str]:
    """Return one line per edit: its sign, its subject, its effect, and its origin.

    >>> edit_lines([("+", "app/shop", "create", "shop.yaml:1"), ("-", "app/cart", "remove", "")])
    ['+ app/shop  create   shop.yaml:1', '- app/cart  remove']
    """
    rows = list(edits)
    who, what = (min(_EDIT_COLUMN_MAX, max((len(row[at]) for row in rows), default=0)) for at in (1, 2))
    return [visible(f"{row[0]} {row[1].ljust(who)}  {row[2].ljust(what)}   {row[3]}").rstrip() for row in rows]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown: list[str] = []
    for cell, width in zip(cells, widths, strict=True):
        padded = visible(cell).ljust(width)
        shown.append(click.style(padded, fg=STATE_COLOURS[cell]) if cell in STATE_COLOURS else padded)
    return "  ".join(shown).rstrip()


def size(size_bytes: int | None) -> str:
    """Return a size for people, in powers of ten like the sizes of disks and downloads.

    >>> size(98362432), size(None)
    ('98 MB', 'unknown')
    """
    if size_bytes is None:
        return "unknown"
    value = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"  # noqa: PLR2004
        value /= 1000
    return f"{value:.1f} TB"
