"""`bateau top`: the CPU and memory that the pods of an environment use on its clusters."""

from pathlib import Path

import click

from bateau.cli.options import directory_option, environment_option, json_option


@click.command()
@environment_option("The environment whose clusters are asked.")
@directory_option
@json_option
def command(environment: str | None, directory: Path, as_json: bool) -> int:
    """Show the CPU and memory that each service uses now, and what its pods request.

    The figures are those of metrics.k8s.io, which a metrics server provides. Exit code 3: a cluster has none, or cannot
    be reached.
    """
    from bateau.cli.cluster_top import show_top

    if environment is None:
        raise click.UsageError(
            "top is for clusters: name an environment with --env; on this machine, see `bateau status`"
        )
    return show_top(environment, directory, as_json=as_json)
