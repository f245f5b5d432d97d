"""What every runtime promises: one suite, run against the local runtime and against the fake."""

import asyncio
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.replica import ReplicaState
from bateau.observe.probes import NetworkProber
from bateau.ports.runtime import Runtime
from bateau.runtimes.local import LocalRuntime
from bateau.testing import FakeRuntime

SERVER = """
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(16)
while True:
    listener.accept()[0].close()
"""
TEMPLATE = ProcessTemplate(
    revision="r1",
    command=(sys.executable, "-S", "-c", SERVER, "{port:http}"),
    port_names=("http",),
    uses_socket=True,
    probe=ProbePlan(target=ProbeTarget(kind="tcp", address="127.0.0.1:{port:http}")),
)


class SystemClock:
    """The clocks of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


@pytest_asyncio.fixture(params=["local", "fake"])
async def runtime(request: pytest.FixtureRequest) -> AsyncIterator[Runtime]:
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    made: Runtime = FakeRuntime()
    if request.param == "local":
        made = LocalRuntime(
            state=folder / "state",
            runtime=folder / "run",
            logs=folder / "logs",
            prober=NetworkProber(),
            clock=SystemClock(),
            instance=f"test-{uuid.uuid4().hex[:12]}",
        )
    yield made
    await asyncio.gather(*(made.stop(replica.id) for replica in made.observe()))
    assert made.observe() == []
    await made.close()
    shutil.rmtree(folder)


async def until_ready(runtime: Runtime, replica_id: str) -> None:
    changed = asyncio.Event()
    runtime.on_change(changed.set)
    async with asyncio.timeout(15):
        while {each.id: each.state for each in runtime.observe()}[replica_id] is not ReplicaState.READY:
            await changed.wait()
            changed.clear()


async def test_nothing_runs_at_first(runtime: Runtime) -> None:
    await runtime.adopt()
    assert list(runtime.observe()) == []


async def test_a_started_replica_has_a_process_at_once_and_is_ready_later(runtime: Runtime) -> None:
    await runtime.adopt()
    await runtime.start("app.a.0", "app/a", TEMPLATE)
    (replica,) = runtime.observe()
    assert (replica.id, replica.service, replica.revision) == ("app.a.0", "app/a", "r1")
    assert replica.state in {ReplicaState.STARTING, ReplicaState.READY}
    assert replica.pid is not None
    assert (replica.restarts, replica.adopted) == (0, False)
    await until_ready(runtime, "app.a.0")


async def test_addresses_are_given_by_the_name_of_the_port_and_are_never_shared(runtime: Runtime) -> None:
    for number in range(3):
        await runtime.start(f"app.a.{number}", "app/a", TEMPLATE)
    replicas = runtime.observe()
    assert all(set(replica.addresses) == {"http", "socket"} for replica in replicas)
    assert all(replica.addresses["http"].startswith("127.0.0.1:") for replica in replicas)
    assert len({address for replica in replicas for address in replica.addresses.values()}) == 6


async def test_replicas_are_observed_in_the_order_of_their_ids(runtime: Runtime) -> None:
    for replica_id in ("model.b.0", "app.c.1", "app.c.0"):
        await runtime.start(replica_id, "app/c", TEMPLATE)
    assert [replica.id for replica in runtime.observe()] == ["app.c.0", "app.c.1", "model.b.0"]


async def test_an_id_that_is_taken_is_refused(runtime: Runtime) -> None:
    await runtime.start("app.a.0", "app/a", TEMPLATE)
    (before,) = runtime.observe()
    with pytest.raises(ReplicaError) as refusal:
        await runtime.start("app.a.0", "app/a", TEMPLATE)
    assert refusal.value.message == "replica app.a.0 exists already"
    assert [replica.pid for replica in runtime.observe()] == [before.pid]


async def test_a_stopped_replica_is_gone_and_its_id_is_free(runtime: Runtime) -> None:
    await runtime.start("app.a.0", "app/a", TEMPLATE)
    await runtime.stop("app.a.0")
    assert list(runtime.observe()) == []
    await runtime.start("app.a.0", "app/a", TEMPLATE)
    assert len(runtime.observe()) == 1


async def test_stopping_what_is_not_there_is_no_error(runtime: Runtime) -> None:
    await runtime.stop("app.a.0")
    assert list(runtime.observe()) == []


async def test_listeners_are_woken_and_then_see_the_change(runtime: Runtime) -> None:
    seen: list[list[ReplicaState]] = []
    runtime.on_change(lambda: seen.append([replica.state for replica in runtime.observe()]))
    await runtime.start("app.a.0", "app/a", TEMPLATE)
    await until_ready(runtime, "app.a.0")
    await runtime.stop("app.a.0")
    assert [ReplicaState.READY] in seen
    assert [ReplicaState.STOPPING] in seen
    assert seen[-1] == []


async def test_after_close_nothing_is_observed(runtime: Runtime) -> None:
    await runtime.adopt()
    await runtime.close()
    assert list(runtime.observe()) == []
