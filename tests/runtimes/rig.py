"""A local runtime in its own folder, real servers to run in it, and waits that end as soon as a condition holds."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.replica import Replica, ReplicaState
from bateau.observe.probes import NetworkProber
from bateau.runtimes.local.instance import Instance
from bateau.runtimes.local.keeper import LocalKeeper
from bateau.runtimes.local.limits import Cgroups
from bateau.runtimes.local.logs import LOG_BYTES_MAX
from bateau.runtimes.local.process import MARK_INSTANCE, every_process, marks_of
from bateau.runtimes.local.process_runner import ProcessRunner
from bateau.wiring.this_process import SystemClock

WAIT_S = 15.0

# Answers every request with 200, or with 503 while the file named last exists. Small, as it starts often.
SERVER = """
import os, socket, sys
where, sick = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
if where.startswith("/"):
    listener = socket.socket(socket.AF_UNIX); listener.bind(where)
else:
    listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(where)))
listener.listen(16)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    ill = sick and os.path.exists(sick)
    status, body = ("503 Service Unavailable", "Loading model") if ill else ("200 OK", "ok")
    connection.sendall(f"HTTP/1.1 {status}\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
    connection.close()
"""


def server(*, sick: Path | None = None, **plan: Any) -> ProcessTemplate:
    """Return a template of a real HTTP server on its own socket, probed often."""
    target = ProbeTarget(kind="http", address="{socket}")
    return ProcessTemplate(
        revision="r1",
        command=(sys.executable, "-S", "-c", SERVER, "{socket}", str(sick or "")),
        uses_socket=True,
        probe=replace(ProbePlan(target=target, interval_s=0.1, timeout_s=0.5), **plan),
        stop_timeout_s=5.0,
    )


def shell(script: str, **rest: Any) -> ProcessTemplate:
    """Return a template of a shell script without a probe."""
    template = ProcessTemplate(revision="r1", command=("/bin/sh", "-c", script), stop_timeout_s=5.0)
    return replace(template, **rest)


class Rig:
    """Makes engines over the same folders, one after the other, as control planes come and go."""

    def __init__(self, folder: Path, instance: str) -> None:
        self.folder = folder
        self.instance = instance
        self._engines: list[LocalKeeper] = []

    def runtime(self, **options: Any) -> LocalKeeper:
        options = {"clock": SystemClock(), "prober": NetworkProber(), **options}
        instance = self.of_machine(options.pop("log_bytes_max", LOG_BYTES_MAX))
        cgroups: Cgroups | None = options.pop("cgroups", None)
        runtime = LocalKeeper(instance, runners=[ProcessRunner(instance, cgroups)], **options)
        self._engines.append(runtime)
        return runtime

    def of_machine(self, log_bytes_max: int = LOG_BYTES_MAX) -> Instance:
        """Return the folders of this rig."""
        return Instance(
            name=self.instance,
            state=self.folder / "state",
            runtime=self.folder / "run",
            logs=self.folder / "logs",
            log_bytes_max=log_bytes_max,
        )

    def log(self, replica_id: str) -> Path:
        return self.folder / "logs" / f"{replica_id}.log"

    def record(self, replica_id: str) -> Path:
        return self.folder / "state" / "replicas" / f"{replica_id}.json"

    def pids(self) -> set[int]:
        """Return every process that carries the mark of this instance."""
        return {stat.pid for stat in every_process() if (marks_of(stat.pid) or {}).get(MARK_INSTANCE) == self.instance}

    async def end(self) -> None:
        """Stop all replicas and close the runtimes. The caller then checks for processes that are left."""
        for runtime in self._engines:
            await asyncio.gather(*(runtime.stop(replica.id) for replica in runtime.observe()))
            await runtime.close()


async def until(runtime: LocalKeeper, condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds. It is checked whenever the runtime reports a change."""
    changed = asyncio.Event()
    runtime.on_change(changed.set)
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await changed.wait()
            changed.clear()


async def until_state(runtime: LocalKeeper, replica_id: str, state: ReplicaState) -> Replica:
    """Return the replica once it is in this state."""
    await until(runtime, lambda: look(runtime, replica_id).state is state)
    return look(runtime, replica_id)


async def until_true(condition: Callable[[], bool]) -> None:
    """Return as soon as a condition outside the runtime holds, such as the existence of a file."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - no event reports it
            await asyncio.sleep(0.01)


def look(runtime: LocalKeeper, replica_id: str) -> Replica:
    """Return what the runtime knows of a replica."""
    return next(replica for replica in runtime.observe() if replica.id == replica_id)
