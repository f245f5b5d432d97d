"""Format the effect on this machine for a terminal.

Called by cli.apply and cli.rollback. The preview is in JSON form.
"""

from collections.abc import Sequence

from bateau.api.trees import PreviewTree, RowTree
from bateau.cli.table import edit_lines


def preview_text(tree: PreviewTree) -> str:
    """Return the headline, one line per edit with its origin, and the effect on each service."""
    lines = [tree["headline"], *rows_text(tree["rows"])]
    lines += [f"  {effect['service']} {effect['does']}" for effect in tree["effects"]]
    return "\n".join(lines)


def rows_text(rows: Sequence[RowTree]) -> list[str]:
    """Return aligned lines of edits."""
    return edit_lines((row["sign"], row["who"], row["what"], row["whence"]) for row in rows)
