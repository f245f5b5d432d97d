"""`bateau uninstall`: remove Bateau from a cluster, and leave the services running."""

import asyncio
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_USAGE, EXIT_WORLD_FAILED
from bateau.cli.installing import agreed, context_option

if TYPE_CHECKING:
    from bateau.wiring.installing import Removal


@click.command()
@context_option
@click.option("--workloads", is_flag=True, help="Remove the objects of all documents, too: the services end.")
@click.option(
    "--timeout", default=120.0, show_default=True, metavar="SECONDS", help="How long to wait for pods to end."
)
@click.option("--yes", "-y", is_flag=True, help="Remove without confirmation.")
@click.option("--dry-run", is_flag=True, help="Show the plan and exit.")
def command(context: str | None, timeout: float, *, workloads: bool, yes: bool, dry_run: bool) -> int:
    """Remove Bateau from a cluster.

    Documents, their definitions and the services stay, but nothing keeps the services as declared. `bateau install`
    adopts them again. With --workloads, the services are removed, too.
    """
    from bateau.kit.visible import visible
    from bateau.wiring.installing import removal, uninstall

    found = asyncio.run(removal(context))
    if found is None:
        click.echo("Bateau is not installed on this cluster, and nothing of it is left", err=True)
        return 0
    _show(found, workloads=workloads)
    if dry_run:
        return 0
    if found.namespace is None and not workloads:
        click.echo("Bateau is not installed on this cluster; --workloads removes what it has left", err=True)
        return 0
    if not agreed("remove this?", yes=yes):
        return EXIT_USAGE
    refused, stays = asyncio.run(uninstall(context, found, workloads=workloads, timeout_s=timeout))
    for name, says in refused.items():
        click.echo(visible(f"not removed: {name}: {says}"), err=True)
    if refused:
        return EXIT_WORLD_FAILED
    for each in stays:
        click.echo(visible(f"stays: {each}"), err=True)
    _show_rest(found, workloads=workloads)
    return 0


def _show(found: "Removal", *, workloads: bool) -> None:
    from bateau.domain.change import object_name

    for key in found.objects:
        click.echo(f"- {object_name(key)}")
    for namespace, keys in found.workloads:
        if workloads:
            click.echo("\n".join(f"- {object_name(key)}" for key in keys))
        else:
            click.echo(f"  stays: {len(keys)} objects of the documents in namespace {namespace}")


def _show_rest(found: "Removal", *, workloads: bool) -> None:
    """Print what stays, and how to remove it."""
    if workloads:
        click.echo("Bateau and the services of its documents are removed")
    else:
        click.echo("Bateau is removed; the services continue, and nothing keeps them as declared")
        if found.workloads:
            click.echo("  to end them: bateau uninstall --workloads", err=True)
    click.echo(
        "the documents and their definitions stay; `bateau install` continues with them\n"
        "  to delete them: bateau schema --crds | kubectl delete --filename=-",
        err=True,
    )
    if found.namespace:
        click.echo(
            f"namespace {found.namespace} stays\n  to delete it: kubectl delete namespace {found.namespace}", err=True
        )
