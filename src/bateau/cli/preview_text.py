"""What would change on this machine, as people read it in a terminal.

Called by `apply`, `rollback` and `plan --running` with the JSON form of it.
"""

from collections.abc import Sequence
from typing import Any

_COLUMN_MAX = 34


def preview_text(tree: dict[str, Any]) -> str:
    """Return the headline, a line for each edit with where it comes from, and what each service does."""
    lines = [tree["headline"], *rows_text(tree["rows"])]
    lines += [f"  {effect['service']} {effect['does']}" for effect in tree["effects"]]
    return "\n".join(lines)


def rows_text(rows: Sequence[dict[str, str]]) -> list[str]:
    """Return aligned lines of edits."""
    who, what = (min(_COLUMN_MAX, max((len(row[at]) for row in rows), default=0)) for at in ("who", "what"))
    return [
        f"{row['sign']} {row['who'].ljust(who)}  {row['what'].ljust(what)}   {row['whence']}".rstrip() for row in rows
    ]
