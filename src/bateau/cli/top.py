"""`bateau top`: what each service does now, on this machine or on the clusters of an environment."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bateau.cli.options import directory_option, environment_option, is_terminal, json_option, name_option
from bateau.cli.top_rows import ORDERS, Order

if TYPE_CHECKING:
    from bateau.cli.top_rows import Sample

# A rate takes two looks at counters, which are measured again after two seconds.
_SECOND_LOOK_S: Final = 2.1


@click.command()
@name_option
@environment_option("Show the clusters of this environment instead of this machine.")
@directory_option
@json_option
@click.option("--once", is_flag=True, help="Print one table, as in a pipe, and do not refresh it.")
@click.option(
    "--sort", "order", type=click.Choice(tuple(ORDERS)), default="service", show_default=True,
    help="Order of the services: by name, the worst state first, or the largest figure first.",
)  # fmt: skip
def command(name: str, environment: str | None, directory: Path, as_json: bool, once: bool, order: Order) -> int | None:
    """Show what each service does now: state, replicas, requests, errors, tokens, CPU and memory.

    The figures are those of the last 30 seconds, as on the dashboard. A dash: not known, or no requests. The table is
    refreshed every two seconds; keys: `s` and `S` change the order, arrows scroll, `q` ends.

    With --env, the CPU and memory that the pods of an environment use on its clusters, and what they request, as
    metrics.k8s.io reports them; the directory has its specs. Exit code 3: a cluster has no metrics server, or cannot be
    reached.
    """
    if environment is not None:
        from bateau.cli.cluster_top import show_top

        if order != "service":
            raise click.UsageError("--sort is for this machine; use `kubectl top pods --sort-by`")
        return show_top(environment, directory, as_json=as_json)
    if is_terminal() and not (once or as_json):
        import asyncio

        from bateau.cli.top_screen import Screen

        asyncio.run(Screen(lambda: _sample(name), order).run())
        return None
    from bateau.cli.top_rows import header_line, sample_json, table_text

    sample = _sample(name)
    if sample.is_first_look:
        time.sleep(_SECOND_LOOK_S)
        sample = _sample(name)
    if as_json:
        from bateau.api.encoding import encode

        click.echo(encode(sample_json(sample, order)))
    else:
        click.echo(f"{header_line(sample)}\n\n{table_text(sample, order)}")
    return None


def _sample(name: str) -> "Sample":
    """Ask the control plane. Raises ControlError."""
    from bateau.cli.instance import client
    from bateau.cli.top_rows import Sample

    ask = client(name)
    return Sample(status=ask.status(), figures=ask.figures())
