"""Write an answer to a file that the user has named, or to standard output.

Called by cli.
"""

from pathlib import Path

import click

from bateau.domain.errors import ControlError


def write_output(path: Path | None, text: str) -> None:
    """Write text that ends with a line break; without a path, print it. Raises ControlError."""
    whole = text if text.endswith("\n") else f"{text}\n"
    if path is None:
        click.echo(whole, nl=False)
        return
    try:
        path.write_text(whole, encoding="utf-8")
    except OSError as error:
        raise ControlError(f"cannot write {path}: {error.strerror}") from error
