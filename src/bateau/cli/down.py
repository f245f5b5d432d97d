"""`bateau down`: stop every process of an instance."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import click

from bateau.cli.options import name_option

_STOP_TIMEOUT_S = 120.0
_POLL_S = 0.05


@click.command()
@name_option
def command(name: str) -> None:
    """Stop every replica, the gateway and the control plane of an instance."""
    from bateau.cli.instance import client, instance_paths, status_of
    from bateau.domain.errors import ControlError

    where = instance_paths(name)
    tree = status_of(name)
    if tree is None:
        count = _stop_leftovers(name)
        message = f"stopped {count} processes left by a dead control plane"
        shutil.rmtree(where.runtime, ignore_errors=True)
        click.echo(f"{name} was not up" if not count else message)
        return
    client(name).stop()
    click.echo("stopping every service and the gateway", err=True)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while _alive(int(tree["pid"])) and where.control_socket.exists():
        if time.monotonic() > deadline:
            raise ControlError(
                f"the control plane (pid {tree['pid']}) has not exited within {_STOP_TIMEOUT_S:.0f} s",
                hint=f"see {where.control_log}; run `kill -9 {tree['pid']}`, then `bateau down` again",
            )
        time.sleep(_POLL_S)
    while _alive(int(tree["pid"])) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    shutil.rmtree(where.runtime, ignore_errors=True)
    click.echo(f"{name} is down")


def _stop_leftovers(name: str) -> int:
    from bateau.wiring.local import Settings, stop_leftovers

    return asyncio.run(stop_leftovers(Settings(instance=name, directory=Path.cwd(), listen=("127.0.0.1", 0))))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True
    return stat.rpartition(")")[2].split()[0] != "Z"
