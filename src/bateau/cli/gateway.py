"""`bateau gateway`: the gateway of a cluster, as the command of its pods."""

import asyncio
import os
from pathlib import Path

import click

from bateau.cli.options import Number, address_of
from bateau.domain.system_names import GATEWAY_PROBES_PORT

_ADMIN = Path("/tmp/admin.sock")  # noqa: S108 - the one directory that a pod with a read-only root mounts


@click.command()
@click.option("--xds", metavar="HOST:PORT", help="Address of the controller.")
@click.option(
    "--certificates", type=click.Path(file_okay=False, path_type=Path), default="/certificates", show_default=True,
    help="Directory with ca.crt, tls.crt and tls.key.",
)  # fmt: skip
@click.option(
    "--probes",
    default=f"0.0.0.0:{GATEWAY_PROBES_PORT}",
    show_default=True,
    help="Address of /ready and /stats/prometheus.",
)
@click.option(
    "--drain", type=Number(0), metavar="SECONDS",
    help="Do not start it: let the one that runs in this pod finish its requests, for at most SECONDS.",
)  # fmt: skip
def command(xds: str | None, certificates: Path, probes: str, drain: int | None) -> None:
    """Run Envoy in front of the models of a cluster. `bateau install` makes its Deployment.

    The process becomes Envoy. It gets its configuration from the controller, and continues without it.
    """
    from bateau.wiring.gateway import drain as drained
    from bateau.wiring.gateway import envoy_command

    if drain is not None:
        left = asyncio.run(drained(_ADMIN, timeout_s=drain))
        if left:
            click.echo(f"{left} requests are still in flight after {drain} s", err=True)
        return
    if xds is None:
        raise click.UsageError("--xds is missing: the address of the controller")
    words = envoy_command(
        xds=address_of(xds, "--xds"),
        certificates=certificates,
        admin=_ADMIN,
        probes=address_of(probes, "--probes"),
        environ=os.environ,
    )
    os.execv(words[0], words)  # noqa: S606 - no shell
