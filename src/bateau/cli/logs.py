"""`bateau logs`: show the output of a service."""

import asyncio
from pathlib import Path

import click

from bateau.cli.options import name_option

_LOOK_S = 1.0


@click.command()
@click.argument("service")
@name_option
@click.option("--follow", "-f", is_flag=True, help="Print new lines as they arrive, until Ctrl-C.")
@click.option(
    "--lines", "-n", type=click.IntRange(min=0), default=50, show_default=True, help="How many lines from the end."
)
def command(service: str, name: str, follow: bool, lines: int) -> None:
    """Show the output of SERVICE: chat, app/shop, a replica (model.chat.0), gateway, or control."""
    from bateau.wiring.logs import tail

    files = _files(service, name)
    prefixed = len(files) > 1
    for label, path in files.items():
        for line in tail(path, lines):
            click.echo(_shown(label, line, prefixed=prefixed))
    if follow:
        asyncio.run(_follow(service, name, files))


async def _follow(service: str, name: str, files: dict[str, Path]) -> None:
    """Follow the files of a service, including those of replicas that start later."""
    from bateau.wiring.logs import follow

    async def one(label: str, path: Path) -> None:
        async for line in follow(path):
            click.echo(_shown(label, line, prefixed=len(followed) > 1))

    followed: dict[str, asyncio.Task[None]] = {}
    while True:
        for label, path in files.items():
            if label not in followed:
                followed[label] = asyncio.create_task(one(label, path))
        for task in followed.values():
            if task.done():
                task.result()
        await asyncio.sleep(_LOOK_S)
        files = _files(service, name)


def _shown(label: str, line: str, *, prefixed: bool) -> str:
    return f"{click.style(label, fg='cyan')}  {line}" if prefixed else line


def _files(service: str, name: str) -> dict[str, Path]:
    """Find log files by name: the files outlive the control plane and the replicas."""
    from bateau.cli.instance import instance_paths

    where = instance_paths(name)
    if service == "control":
        return {"control": where.control_log}
    found = {path.stem: path for path in sorted(where.logs.glob("*.log"))}
    wanted = service.replace("/", ".")
    chosen = {label: path for label, path in found.items() if _matches(label, wanted)}
    if not chosen:
        from bateau.kit.suggest import did_you_mean, listed

        names = sorted({label.rpartition(".")[0].partition(".")[2] for label in found} | {"control"})
        hint = did_you_mean(service, names) or f"available: {listed(names)}"
        raise click.UsageError(f"no log of {service} in {name}: {hint}")
    return chosen


def _matches(label: str, wanted: str) -> bool:
    """Whether a replica's id, a service's key or its name selects the log `label` ("model.chat.0")."""
    service = label.rpartition(".")[0]
    kind, _, name = service.partition(".")
    return wanted in (label, service, name) or wanted == kind == "gateway"
