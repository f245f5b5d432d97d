"""`bateau version`."""

import click

from bateau import __version__
from bateau.cli.options import json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        from bateau.api.encoding import encode

        click.echo(encode({"version": __version__}))
    else:
        click.echo(f"bateau {__version__}")
