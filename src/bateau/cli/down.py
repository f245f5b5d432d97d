"""`bateau down`: stop every process of an instance."""

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.options import name_option

if TYPE_CHECKING:
    from bateau.api.trees import StatusTree

_SILENCE_S_MAX = 120.0  # a control plane that stops replicas answers all the time
_LOOK_S = 2.0  # how often it is asked how many replicas are left
_POLL_S = 0.05


@click.command()
@name_option
def command(name: str) -> None:
    """Stop every replica, the gateway and the control plane of an instance."""
    from bateau.cli.instance import client, instance_paths, status_of

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
    _wait_until_exited(name, tree)
    if any(where.records.glob("*.json")):
        _stop_leftovers(name)  # reports why one cannot be stopped
    shutil.rmtree(where.runtime, ignore_errors=True)
    click.echo(f"{name} is down")


def _wait_until_exited(name: str, tree: "StatusTree") -> None:
    """Wait for the end of the control plane for as long as it answers, and print how many replicas are left.

    Raises ControlError if it neither answers nor exits.
    """
    from bateau.cli.instance import client, instance_paths
    from bateau.domain.errors import ControlError

    pid, count = int(tree["pid"]), _replicas(tree)
    left, heard_at = count, time.monotonic()
    asked_at = heard_at
    while _alive(pid):
        time.sleep(_POLL_S)
        now = time.monotonic()
        if now - asked_at < _LOOK_S:
            continue
        asked_at = now
        try:
            before, left = left, _replicas(client(name).status())
            heard_at = time.monotonic()
        except ControlError:  # it is about to exit, or hangs
            if now - heard_at > _SILENCE_S_MAX:
                raise ControlError(
                    f"the control plane (pid {pid}) has neither answered nor exited for {_SILENCE_S_MAX:.0f} s",
                    hint=f"see {instance_paths(name).control_log}; run `kill -9 {pid}`, then `bateau down` again",
                ) from None
        else:
            if left not in (before, 0):
                click.echo(f"{left:,} of {count:,} replicas are left", err=True)


def _replicas(tree: "StatusTree") -> int:
    return sum(len(service["replicas"]) for service in (*tree["services"], tree["gateway"]))


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
