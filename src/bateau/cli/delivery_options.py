"""Options that `render` and `plan` share.

Called by those commands.
"""

from collections.abc import Callable
from typing import Any

import click

from bateau.cli.options import directory_option


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
        directory_option,
    ):
        command = option(command)
    return command
