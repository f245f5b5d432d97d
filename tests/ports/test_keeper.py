"""What every keeper promises: one suite, run against processes and against the fake."""

import asyncio
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.replica import ReplicaState
from bateau.observe.probes import NetworkProber
from bateau.ports.keeper import Keeper
from bateau.runtimes.local import Instance, LocalKeeper
from bateau.testing import FakeKeeper
from bateau.wiring.this_process import SystemClock

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


@pytest_asyncio.fixture(params=["local", "fake"])
async def keeper(request: pytest.FixtureRequest) -> AsyncIterator[Keeper]:
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    made: Keeper = FakeKeeper()
    if request.param == "local":
        name = f"test-{uuid.uuid4().hex[:12]}"
        instance = Instance(name=name, state=folder / "state", runtime=folder / "run", logs=folder / "logs")
        made = LocalKeeper(instance, prober=NetworkProber(), clock=SystemClock())
    yield made
    await asyncio.gather(*(made.stop(replica.id) for replica in made.observe()))
    assert made.observe() == []
    await made.close()
    shutil.rmtree(folder)


async def until_ready(keeper: Keeper, replica_id: str) -> None:
    changed = asyncio.Event()
    keeper.on_change(changed.set)
    async with asyncio.timeout(15):
        while {each.id: each.state for each in keeper.observe()}[replica_id] is not ReplicaState.READY:
            await changed.wait()
            changed.clear()


async def test_nothing_runs_at_first(keeper: Keeper) -> None:
    await keeper.adopt()
    assert list(keeper.observe()) == []


async def test_a_started_replica_has_a_process_at_once_and_is_ready_later(keeper: Keeper) -> None:
    await keeper.adopt()
    await keeper.start("app.a.0", "app/a", TEMPLATE)
    (replica,) = keeper.observe()
    assert (replica.id, replica.service, replica.revision) == ("app.a.0", "app/a", "r1")
    assert replica.state in {ReplicaState.STARTING, ReplicaState.READY}
    assert replica.pid is not None
    assert (replica.restarts, replica.adopted) == (0, False)
    await until_ready(keeper, "app.a.0")


async def test_addresses_are_given_by_the_name_of_the_port_and_are_never_shared(keeper: Keeper) -> None:
    for number in range(3):
        await keeper.start(f"app.a.{number}", "app/a", TEMPLATE)
    replicas = keeper.observe()
    assert all(set(replica.addresses) == {"http", "socket"} for replica in replicas)
    assert all(replica.addresses["http"].startswith("127.0.0.1:") for replica in replicas)
    assert len({address for replica in replicas for address in replica.addresses.values()}) == 6


async def test_replicas_are_observed_in_the_order_of_their_ids(keeper: Keeper) -> None:
    for replica_id in ("model.b.0", "app.c.1", "app.c.0"):
        await keeper.start(replica_id, "app/c", TEMPLATE)
    assert [replica.id for replica in keeper.observe()] == ["app.c.0", "app.c.1", "model.b.0"]


async def test_an_id_that_is_taken_is_refused(keeper: Keeper) -> None:
    await keeper.start("app.a.0", "app/a", TEMPLATE)
    (before,) = keeper.observe()
    with pytest.raises(ReplicaError) as refusal:
        await keeper.start("app.a.0", "app/a", TEMPLATE)
    assert refusal.value.message == "replica app.a.0 exists already"
    assert [replica.pid for replica in keeper.observe()] == [before.pid]


async def test_a_stopped_replica_is_gone_and_its_id_is_free(keeper: Keeper) -> None:
    await keeper.start("app.a.0", "app/a", TEMPLATE)
    await keeper.stop("app.a.0")
    assert list(keeper.observe()) == []
    await keeper.start("app.a.0", "app/a", TEMPLATE)
    assert len(keeper.observe()) == 1


async def test_stopping_what_is_not_there_is_no_error(keeper: Keeper) -> None:
    await keeper.stop("app.a.0")
    assert list(keeper.observe()) == []


async def test_listeners_are_woken_and_then_see_the_change(keeper: Keeper) -> None:
    seen: list[list[ReplicaState]] = []
    keeper.on_change(lambda: seen.append([replica.state for replica in keeper.observe()]))
    await keeper.start("app.a.0", "app/a", TEMPLATE)
    await until_ready(keeper, "app.a.0")
    await keeper.stop("app.a.0")
    assert [ReplicaState.READY] in seen
    assert [ReplicaState.STOPPING] in seen
    assert seen[-1] == []


async def test_after_close_nothing_is_observed(keeper: Keeper) -> None:
    await keeper.adopt()
    await keeper.close()
    assert list(keeper.observe()) == []
