"""`bateau open` of an environment that runs on clusters.

Called by cli.open.
"""

import asyncio
import webbrowser
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from pathlib import Path

    from bateau.control.destinations import Destination


def open_cluster(environment: str, directory: "Path", cluster: str | None, *, to: str, port: int, browser: bool) -> int:
    """Forward the dashboard of a controller until Ctrl-C, and return the exit code. Raises ClusterError."""
    from bateau.cli.cluster_status import named, places_of
    from bateau.kit.suggest import listed

    _, places = places_of(environment, directory)
    if cluster is None and len(places) > 1:
        names = listed([each.name for each in places])
        raise click.UsageError(f"{environment} has several clusters: choose one with --cluster: {names}")
    place, *_ = named(places, environment, cluster)
    try:
        asyncio.run(_forward(place, to=to, port=port, browser=browser))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


async def _forward(place: "Destination", *, to: str, port: int, browser: bool) -> None:
    from bateau.wiring.cluster_open import opened

    try:
        async with opened(place, listen=("127.0.0.1", port)) as link:
            click.echo(link + to)
            click.echo(f"the dashboard of {place.name} is there until Ctrl-C", err=True)
            if browser and not webbrowser.open(link + to):
                click.echo("no browser was found: open the link yourself", err=True)
            await asyncio.Event().wait()
    except OSError as error:
        raise click.UsageError(f"nothing can listen on port {port}: {error.strerror or error}") from error
