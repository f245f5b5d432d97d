"""Start a control plane that outlives the command, and wait for its services.

Called by cli.apply, cli.rollout and cli.up.

Invariant: Ctrl-C during the start stops the control plane again. If the control plane exits, its log is printed. Held
by tests/local/test_edges.py::test_ctrl_c_during_a_detached_start_stops_the_control_plane and tests/local/test_apply.py.
"""

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from bateau.api.trees import StatusTree
from bateau.cli.exit_codes import EXIT_WORLD_FAILED
from bateau.cli.instance import client, instance_paths
from bateau.cli.presenter import Presenter
from bateau.domain.errors import ControlError
from bateau.wiring.open_files import raise_limit
from bateau.wiring.paths import make

_CONNECT_S = 0.05
_WAIT_S = 1.0  # an unchanged status is checked again after this time, for callers that wait for it to stay unchanged
LOG_BYTES_MAX = 8 * 2**20
_TIMEOUT_S = 900.0
_EVENT = re.compile(r"[\d-]{10} [\d:,]{12} INFO ")


def start_detached(
    name: str, arguments: Sequence[str], presenter: Presenter, *, given: str | None = None
) -> StatusTree:
    """Start `bateau up` with `arguments` in its own session, and wait until every service is ready or has failed.

    `given` is its stdin. Raises ControlError if that takes too long, and click's Exit with its code if it exits.
    """
    raise_limit()
    where = instance_paths(name)
    make(where)
    command = [sys.executable, "-m", "bateau", "up", *arguments, "--control"]
    begin_log(where.control_log)
    started_at = where.control_log.stat().st_size if where.control_log.exists() else 0
    with where.control_log.open("ab") as log:
        reads = subprocess.DEVNULL if given is None else subprocess.PIPE
        process = subprocess.Popen(command, stdin=reads, stdout=log, stderr=log, start_new_session=True)

    def done(tree: StatusTree) -> bool:
        # Replicas of an old revision may take minutes to finish their requests, and nobody has to wait for them.
        return tree["pid"] == process.pid and (tree["settled"] or tree["rolledOut"])

    def ended() -> None:
        if process.poll() is not None:
            log = where.control_log.read_bytes()[started_at:].decode(errors="replace").strip()
            # Why it ended, without the events before that.
            click.echo("\n".join(line for line in log.split("\n") if not _EVENT.match(line)) or log, err=True)
            if process.returncode < 0:
                number = -process.returncode
                raise ControlError(
                    f"the control plane was killed by signal {number} ({signal.Signals(number).name})",
                    hint="running replicas continue; `bateau up` adopts them, and `bateau down` stops them",
                )
            raise click.exceptions.Exit(process.returncode or EXIT_WORLD_FAILED)

    try:
        if process.stdin:
            with contextlib.suppress(BrokenPipeError), process.stdin:  # it has exited; its log is printed below
                process.stdin.write((given or "").encode())
        return watch(name, done, presenter, meanwhile=ended, pid=process.pid)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


def watch(
    name: str,
    done: Callable[[StatusTree], bool],
    presenter: Presenter,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    pid: int | None = None,
) -> StatusTree:
    """Show changes until `done` is true for the status, and return that status. Raises ControlError.

    With `pid`, the status of another control plane is ignored.
    """
    ask = client(name)
    deadline = time.monotonic() + _TIMEOUT_S
    number: int | None = None
    while time.monotonic() < deadline:
        meanwhile()
        try:
            tree = ask.status(after=number, wait_s=_WAIT_S)
        except ControlError:
            if pid is None:
                raise
            time.sleep(_CONNECT_S)  # it is starting, and has no socket yet
            continue
        if pid not in (None, tree["pid"]):
            time.sleep(_CONNECT_S)
            continue
        number = tree["number"]
        presenter.show(tree)
        if done(tree):
            return tree
    raise ControlError(
        f"not every service is ready after {_TIMEOUT_S / 60:.0f} minutes; the start continues in the background",
        hint="watch it with `bateau status --watch`",
    )


def still_running(tree: StatusTree) -> str:
    """Return the line that names the next commands."""
    return f"Running in the background (pid {tree['pid']})  ·  bateau status · bateau logs NAME -f · bateau down"


def begin_log(path: Path) -> None:
    """Rotate a large log once, when a control plane starts."""
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
