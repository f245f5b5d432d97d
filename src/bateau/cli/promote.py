"""`bateau promote`: what one environment runs becomes a change to the next."""

import asyncio
from pathlib import Path

import click

from bateau.cli.options import directory_option


@click.command()
@click.argument("service")
@click.argument("source")
@click.argument("target")
@click.option("--branch", help="Name of the new branch.")
@directory_option
def command(service: str, source: str, target: str, branch: str | None, directory: Path) -> int:
    """Carry what environment SOURCE pins for SERVICE (or `all`) over to environment TARGET.

    Pins are values and patches named image, source, tag, version, digest and their like. The change is a commit on a
    new branch of the clone, ready for a pull request; what is checked out stays as it is. `bateau plan TARGET
    HEAD..BRANCH` shows its effect.
    """
    from bateau.cli.problems import render
    from bateau.wiring.promotion import promoted

    chosen = None if service == "all" else service.rpartition("/")[2]
    found = asyncio.run(promoted(directory, service=chosen, source=source, target=target, branch=branch))
    if found.promotion.problems:
        click.echo(render(found.promotion.problems), err=True)
        return 1
    if found.backwards:
        click.echo(f"warning: {source} comes after {target}: this carries its pins back", err=True)
    for line in found.promotion.changes:
        click.echo(f"~ {line}")
    for line in found.promotion.left:
        click.echo(f"  {line}")
    if found.commit is None:
        click.echo(f"{target} pins what {source} pins: nothing to promote")
        return 0
    click.echo(f"commit {found.commit.short} on branch {found.branch}")
    click.echo(f"see `bateau plan {target} HEAD..{found.branch}`")
    return 0
