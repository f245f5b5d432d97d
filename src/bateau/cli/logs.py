"""`bateau logs`: show the output of a service."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.options import Number, directory_option, environment_option, name_option

if TYPE_CHECKING:
    from bateau.ports.logs import Logs

_LOOK_S = 1.0


@click.command()
@click.argument("service")
@name_option
@environment_option("Show pods on the clusters of this environment instead of this machine.")
@directory_option
@click.option("--follow", "-f", is_flag=True, help="Print new lines as they arrive, until Ctrl-C.")
@click.option(
    "--lines",
    "-n",
    type=Number(0),
    metavar="NUMBER",
    default=50,
    show_default=True,
    help="How many lines from the end.",
)
def command(service: str, name: str, environment: str | None, directory: Path, follow: bool, lines: int) -> int | None:
    """Show the output of SERVICE: chat, app/shop, a replica (model.chat.0), gateway, or control.

    With --env, the pods of SERVICE on the clusters of an environment.
    """
    if environment:
        from bateau.cli.cluster_status import show_logs

        if follow:
            raise click.UsageError("--follow is for this machine; use `kubectl logs --follow`")
        return show_logs(environment, directory, service, lines=lines)
    found = _found(service, name)
    prefixed = len(found) > 1
    for label, logs in found.items():
        for line in logs.tail(label, lines):
            click.echo(_shown(label, line, prefixed=prefixed))
    if follow:
        asyncio.run(_follow(service, name, found))
    return None


async def _follow(service: str, name: str, found: "dict[str, Logs]") -> None:
    """Follow the logs of a service; replicas that start later are followed too."""

    async def one(label: str, logs: "Logs") -> None:
        async for line in logs.follow(label):
            click.echo(_shown(label, line, prefixed=len(followed) > 1))

    followed: dict[str, asyncio.Task[None]] = {}
    while True:
        for label, logs in found.items():
            if label not in followed:
                followed[label] = asyncio.create_task(one(label, logs))
        for task in followed.values():
            if task.done():
                task.result()
        await asyncio.sleep(_LOOK_S)
        found = _found(service, name)


def _shown(label: str, line: str, *, prefixed: bool) -> str:
    from bateau.kit.visible import visible

    return f"{click.style(label, fg='cyan')}  {visible(line)}" if prefixed else visible(line)


def _found(service: str, name: str) -> "dict[str, Logs]":
    """Return the logs that a name stands for: they outlive the control plane and the replicas."""
    from bateau.cli.instance import instance_paths
    from bateau.wiring.logs import control_log_of, logs_of

    where = instance_paths(name)
    if service == "control":
        return {"control": control_log_of(where)}
    logs = logs_of(where)
    ids = logs.ids()
    wanted = service.replace("/", ".")
    chosen = {label: logs for label in ids if _matches(label, wanted)}
    if not chosen:
        from bateau.kit.suggest import did_you_mean, listed

        names = sorted({label.rpartition(".")[0].partition(".")[2] for label in ids} | {"control"})
        hint = did_you_mean(service, names) or f"available: {listed(names)}"
        raise click.UsageError(f"no log of {service} in {name}: {hint}")
    return chosen


def _matches(label: str, wanted: str) -> bool:
    """Whether a replica's id, a service's key or its name selects the log `label` ("model.chat.0")."""
    service = label.rpartition(".")[0]
    kind, _, name = service.partition(".")
    return wanted in (label, service, name) or wanted == kind == "gateway"
