"""`bateau down`: stop everything, and leave nothing behind."""

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bateau.cli.options import name_option
from bateau.wiring.paths import lock_holder

if TYPE_CHECKING:
    from bateau.api.client import ApiClient
    from bateau.wiring.paths import Paths

_STOP_TIMEOUT_S = 120.0
_POLL_S = 0.05
_ANSWER_TIMEOUT_S = 15.0


@click.command()
@name_option
def command(name: str) -> None:
    """Stop every replica, the gateway and the control plane of an instance."""
    from bateau.cli.instance import client, instance_paths
    from bateau.domain.errors import ControlError

    ask = client(name)
    where = instance_paths(name)
    tree = _status_of(ask, where)
    if tree is None:
        count = _stop_leftovers(name)
        message = f"stopped {count} processes that a dead control plane had left"
        click.echo(f"{name} was not up" if not count else message)
        return
    ask.stop()
    click.echo("stopping every service and the gateway", err=True)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while _alive(int(tree["pid"])) and where.control_socket.exists():
        if time.monotonic() > deadline:
            raise ControlError(
                f"the control plane (pid {tree['pid']}) has not ended within {_STOP_TIMEOUT_S:.0f} s",
                hint=f"see {where.control_log}; kill -9 {tree['pid']} and run `bateau down` again",
            )
        time.sleep(_POLL_S)
    while _alive(int(tree["pid"])) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    click.echo(f"{name} is down")


def _status_of(ask: "ApiClient", where: "Paths") -> dict[str, Any] | None:
    """Return the status; None where there is no control plane. One that is coming up is waited for.

    Raises ControlError where it lives and does not answer.
    """
    from bateau.domain.errors import ControlError

    deadline = time.monotonic() + _ANSWER_TIMEOUT_S
    while True:
        try:
            return ask.status()
        except ControlError:
            holder = lock_holder(where)
            if holder is None:
                return None
            if time.monotonic() > deadline:
                raise ControlError(
                    f"the control plane (pid {holder}) lives and does not answer",
                    hint=f"kill -9 {holder}, then `bateau down` again: it stops what that one has left",
                ) from None
            time.sleep(_POLL_S)


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
