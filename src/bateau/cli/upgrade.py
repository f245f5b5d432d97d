"""`bateau upgrade`: bring the installation of a cluster to this version."""

from typing import TYPE_CHECKING

import click

from bateau.cli.installing import Wish, apply_installation, installing_options

if TYPE_CHECKING:
    from bateau.wiring.installing import Given


@click.command()
@installing_options
def command(given: "Given", wish: Wish) -> int:
    """Upgrade the installation of Bateau on a cluster to this version.

    Shows the changes, asks for confirmation, applies them, and waits until everything is ready. Settings that are not
    given stay as they are installed; the image stays in its repository, and its tag becomes this version. Services keep
    running.
    """
    return apply_installation(given, wish, needs_installed=True)
