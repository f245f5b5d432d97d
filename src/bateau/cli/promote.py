"""`bateau promote`: copy the pinned versions of one environment to the next, as a commit."""

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
    """Copy the versions that environment SOURCE pins for SERVICE (or `all`) to environment TARGET.

    Pins are values and patches named image, source, tag, version, digest and similar, and, if TARGET has its own,
    `images` of the kustomization and the same names in the value files of a chart. The change is a commit on a new
    branch of the clone, ready for a pull request; the checked-out branch is not changed. `bateau plan --env
    TARGET HEAD..BRANCH` shows its effect.

    Exit code 1: images of the environments have different versions that could not be promoted, or could not be
    compared.
    """
    from bateau.cli.problems import render
    from bateau.wiring.promotion import promoted
    from bateau.wiring.question import Question

    chosen = None if service == "all" else service.rpartition("/")[2]
    where = Question(directory=directory, environment=None)
    found = promoted(where, "HEAD", service=chosen, source=source, target=target, branch=branch)
    if found.promotion.problems:
        click.echo(render(found.promotion.problems), err=True)
        return 1
    if found.backwards:
        click.echo(f"warning: {source} comes after {target}: this carries its pins back", err=True)
    for line in found.promotion.changes:
        click.echo(f"~ {line}")
    for line in found.promotion.left:
        click.echo(f"  {line}")
    if found.commit is not None:
        click.echo(f"commit {found.commit.short} on branch {found.branch}")
        click.echo(f"see `bateau plan --env {target} HEAD..{found.branch}`")
    if found.differing:
        click.echo(f"not promoted: {target} still has other versions than {source}; change them by hand", err=True)
    elif found.commit is None and not found.unknown:
        click.echo(f"{target} pins the versions that {source} pins: nothing to promote")
    for line in (*found.differing, *found.unknown):
        click.echo(f"  {line}", err=True)
    return 1 if found.differing or found.unknown else 0
