"""Options that `render` and `plan` share.

Called by those commands.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def delivery_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add where the specs lie, and what their manifests are held to."""
    for option in (
        click.option(
            "--kubernetes",
            default="1.37",
            show_default=True,
            type=click.Choice(["1.36", "1.37"]),
            help="Version of the schemas.",
        ),
        click.option("--starter", is_flag=True, help="Judge by the policies that come with Bateau, too."),
        click.option("--namespace", "-n", default="default", show_default=True, help="Namespace of the manifests."),
        click.option(
            "--directory",
            "-C",
            default=".",
            type=click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True),
            help="Where the specs lie.",
        ),
    ):
        command = option(command)
    return command
