"""What every runtime promises: one suite, run against the local runtime, that of clusters, and the fake.

A runtime joins with a row in RIGS: how it is made, and how a unit looks whose replicas get ready, or cannot start. The
cluster is a real control plane; its node runs no container, and says that every pod is ready.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.domain.endpoint import Load, PlaneState
from bateau.domain.manifest import Manifest
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.unit import Body, Objects, Unit
from bateau.domain.workload import ServiceKey
from bateau.kit.json_value import JsonObject
from bateau.observe.probes import NetworkProber
from bateau.ports.runtime import Runtime
from bateau.runtimes.kubernetes import ApiServer, KubernetesRuntime, access_of
from bateau.runtimes.local import Instance, LocalKeeper, LocalRuntime
from bateau.testing import FakeRuntime
from bateau.wiring.this_process import SystemClock
from cluster.fixtures import TEST_S
from runtimes.kubernetes.kubelet import node
from runtimes.kubernetes.rig import bench

WAIT_S = 30.0
SERVER = """
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(16)
while True:
    listener.accept()[0].close()
"""
PROCESS = ProcessTemplate(
    revision="",
    command=(sys.executable, "-S", "-c", SERVER, "{port:http}"),
    port_names=("http",),
    probe=ProbePlan(target=ProbeTarget(kind="tcp", address="127.0.0.1:{port:http}"), interval_s=0.2),
    stop_timeout_s=5.0,
)
BROKEN = ProcessTemplate(revision="", command=("/no/such/program",))


@dataclass
class Rig:
    """A runtime, and the bodies of units that it can run. `says` is in the reason why a broken unit does not start."""

    runtime: Runtime
    target: str
    body: Callable[[ServiceKey, str, int], Body]
    broken: Callable[[ServiceKey], Body]
    says: str

    def unit(self, name: str, revision: str = "1", *, replicas: int = 1, drain_timeout_s: float = 0.0) -> Unit:
        """Return a unit whose replicas get ready."""
        key = ServiceKey.of("App", name)
        return self._unit(key, self.body(key, revision, replicas), replicas, drain_timeout_s)

    def broken_unit(self, name: str) -> Unit:
        """Return a unit of which no replica can start."""
        key = ServiceKey.of("App", name)
        if isinstance(self.runtime, FakeRuntime):
            self.runtime.refusals[key] = "program /no/such/program does not exist"
        return self._unit(key, self.broken(key), 1, 0.0)

    def _unit(self, key: ServiceKey, body: Body, replicas: int, drain_timeout_s: float) -> Unit:
        return Unit(key=key, target=self.target, body=body, replicas=replicas, drain_timeout_s=drain_timeout_s)

    async def settle(self, *units: Unit, held: frozenset[str] = frozenset()) -> None:
        """Apply until nothing moves, as a control loop does: at every change, with the load that planes would see."""
        changed = asyncio.Event()
        self.runtime.on_change(changed.set)
        try:
            async with asyncio.timeout(WAIT_S):
                while not self._settled(changed, units, held):
                    try:
                        async with asyncio.timeout(0.2):
                            await changed.wait()
                    except TimeoutError:
                        continue
        except TimeoutError as error:
            raise AssertionError(f"not settled in {WAIT_S} s: {self.runtime.observe()}") from error

    def _settled(self, changed: asyncio.Event, units: Sequence[Unit], held: frozenset[str]) -> bool:
        changed.clear()
        self.runtime.note_planes(self.idle())
        self.runtime.apply(units, held=held)
        seen = self.runtime.observe()
        draining = any(replica.draining for replica in seen.replicas)
        return not seen.moving and not draining and self.has(*units, held=held)

    def idle(self) -> PlaneState:
        """Return the state of planes that have taken the traffic, with nothing in flight."""
        replicas = self.runtime.observe().replicas
        load = Load(in_flight={replica.id: 0 for replica in replicas}, seen_at=time.monotonic())
        return PlaneState(accepted=True, rejected={}, load=load)

    def has(self, *units: Unit, held: frozenset[str]) -> bool:
        """Whether exactly the replicas of these units run, each ready and of its revision."""
        ready = sorted(
            (replica.service, replica.revision)
            for replica in self.runtime.observe().replicas
            if replica.state is ReplicaState.READY and replica.service not in held
        )
        wanted = sorted((str(unit.key), unit.revision) for unit in units for _ in range(unit.replicas))
        return ready == wanted and len(self.of(*[str(unit.key) for unit in units])) == len(wanted)

    def of(self, *services: str) -> list[Replica]:
        """Return the replicas of some services."""
        return [replica for replica in self.runtime.observe().replicas if replica.service in services]

    def lives(self, *services: str) -> set[tuple[str, int | None, float]]:
        """Return the life of each replica of some services: one that starts again has another."""
        return {(replica.id, replica.pid, replica.since) for replica in self.of(*services)}


def _process(_key: ServiceKey, revision: str, _replicas: int) -> Body:
    return replace(PROCESS, revision=revision)


def _no_process(_key: ServiceKey) -> Body:
    return replace(BROKEN, revision="broken")


@asynccontextmanager
async def _local(_request: pytest.FixtureRequest) -> AsyncGenerator[Rig]:
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    clock = SystemClock()
    name = f"test-{uuid.uuid4().hex[:12]}"
    instance = Instance(name=name, state=folder / "state", runtime=folder / "run", logs=folder / "logs")
    keeper = LocalKeeper(instance, prober=NetworkProber(), clock=clock)
    yield Rig(LocalRuntime(keeper, clock), "process", _process, _no_process, "/no/such/program")
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _fake(_request: pytest.FixtureRequest) -> AsyncGenerator[Rig]:
    yield Rig(FakeRuntime(), "process", _process, _no_process, "/no/such/program")


@asynccontextmanager
async def _kubernetes(request: pytest.FixtureRequest) -> AsyncGenerator[Rig]:
    async with bench(request.getfixturevalue("control_plane")) as made, node(made.api, made.namespace) as name:

        def objects(key: ServiceKey, tree: JsonObject) -> Body:
            return Objects(manifests=(Manifest(service=key, target="kubernetes", tree=tree, origins={}),))

        def body(key: ServiceKey, revision: str, replicas: int) -> Body:
            return objects(key, made.deployment(key.name, replicas, node=name, revision=revision))

        def broken(key: ServiceKey) -> Body:
            return objects(key, {**made.config_map(key.name), "dat": {}})

        api = ApiServer(access_of([made.kubeconfig]))
        runtime = KubernetesRuntime(api, SystemClock(), owner=made.namespace, namespace=made.namespace)
        yield Rig(runtime, "kubernetes", body, broken, ".dat: field not declared in schema")


RIGS: dict[str, Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Rig]]] = {
    "local": _local,
    "fake": _fake,
    "kubernetes": _kubernetes,
}
# The first test of a cluster waits for its start.
every_runtime = pytest.mark.parametrize(
    "rig",
    [pytest.param(name, marks=[pytest.mark.timeout(TEST_S)] if name == "kubernetes" else []) for name in RIGS],
    indirect=True,
)


@pytest_asyncio.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with RIGS[request.param](request) as made:
        await made.runtime.adopt()
        yield made
        assert await made.runtime.remove() == {}
        assert made.runtime.observe().replicas == ()
        await made.runtime.close()


@every_runtime
async def test_nothing_runs_at_first(rig: Rig) -> None:
    assert rig.runtime.observe().replicas == ()
    assert rig.runtime.observe().unknown is None


@every_runtime
async def test_what_is_applied_gets_ready(rig: Rig) -> None:
    await rig.settle(rig.unit("a", replicas=2), rig.unit("b"))
    replicas = rig.runtime.observe().replicas
    assert sorted(replica.service for replica in replicas) == ["app/a", "app/a", "app/b"]
    ids = [replica.id for replica in replicas]
    assert ids == sorted(set(ids))


@every_runtime
async def test_applying_does_not_wait(rig: Rig) -> None:
    started = time.monotonic()
    rig.runtime.apply([rig.unit("a", replicas=3)])
    assert time.monotonic() - started < WAIT_S / 10
    await rig.settle(rig.unit("a", replicas=3))


@every_runtime
async def test_applying_the_same_again_changes_nothing(rig: Rig) -> None:
    await rig.settle(rig.unit("a", replicas=2))
    before = rig.lives("app/a")
    await rig.settle(rig.unit("a", replicas=2))
    assert rig.lives("app/a") == before


@every_runtime
async def test_scaling_keeps_those_that_stay(rig: Rig) -> None:
    await rig.settle(rig.unit("a", replicas=1))
    first = rig.lives("app/a")
    await rig.settle(rig.unit("a", replicas=2))
    assert first < rig.lives("app/a")
    await rig.settle(rig.unit("a", replicas=1))
    assert len(rig.of("app/a")) == 1


@every_runtime
async def test_a_new_revision_replaces_the_old_within_its_surge(rig: Rig) -> None:
    """A surge means one thing on every runtime (issue Part 1, item 4)."""
    seen: list[tuple[int, int]] = []

    def look() -> None:
        found = rig.of("app/a")
        living = [replica for replica in found if replica.state is not ReplicaState.STOPPING]
        seen.append((len(living), sum(replica.state is ReplicaState.READY for replica in found)))

    await rig.settle(rig.unit("a", "1", replicas=2))
    rig.runtime.on_change(look)
    before, after = rig.lives("app/a"), rig.unit("a", "2", replicas=2)
    await rig.settle(after)
    assert {replica.revision for replica in rig.of("app/a")} == {after.revision}
    assert not before & rig.lives("app/a")
    assert max((living for living, _ in seen), default=2) <= 3
    assert min((ready for _, ready in seen), default=2) >= 2, "as many as wanted stay ready all the time"


@every_runtime
async def test_what_is_not_applied_any_longer_leaves(rig: Rig) -> None:
    await rig.settle(rig.unit("a"), rig.unit("b"))
    await rig.settle(rig.unit("b"))
    assert rig.of("app/a") == []


@every_runtime
async def test_what_is_held_stays_as_it_is(rig: Rig) -> None:
    await rig.settle(rig.unit("a"), rig.unit("b"))
    before = rig.lives("app/a")
    await rig.settle(rig.unit("b"), held=frozenset({"app/a"}))
    assert len(before) == 1
    assert rig.lives("app/a") == before


@every_runtime
async def test_a_unit_that_cannot_start_is_reported_and_hinders_no_other(rig: Rig) -> None:
    broken = rig.broken_unit("broken")
    async with asyncio.timeout(WAIT_S):
        while not rig.runtime.observe().failures or not rig.of("app/good"):
            rig.runtime.apply([broken, rig.unit("good")])
            await asyncio.sleep(0.05)
    assert rig.says in rig.runtime.observe().failures["app/broken"]
    assert "app/broken" in rig.runtime.observe().moving
    assert rig.of("app/broken") == []


@every_runtime
async def test_a_removed_service_starts_when_it_is_applied_again(rig: Rig) -> None:
    await rig.settle(rig.unit("a"))
    before = rig.lives("app/a")
    assert await rig.runtime.remove({"app/a"}) == {}
    assert rig.of("app/a") == []
    await rig.settle(rig.unit("a"))
    assert not before & rig.lives("app/a")


@every_runtime
async def test_removing_one_service_leaves_the_others(rig: Rig) -> None:
    await rig.settle(rig.unit("a"), rig.unit("b"))
    assert await rig.runtime.remove({"app/a"}) == {}
    assert [replica.service for replica in rig.runtime.observe().replicas] == ["app/b"]


@every_runtime
async def test_listeners_are_woken(rig: Rig) -> None:
    woken = asyncio.Event()
    rig.runtime.on_change(woken.set)
    rig.runtime.apply([rig.unit("a")])
    async with asyncio.timeout(WAIT_S):
        await woken.wait()


@every_runtime
async def test_metrics_of_replicas_without_a_page_are_not_there(rig: Rig) -> None:
    await rig.settle(rig.unit("a"))
    assert await rig.runtime.metrics() == {}


async def test_closing_lets_go_and_stops_nothing(request: pytest.FixtureRequest) -> None:
    async with _local(request) as made:
        await made.runtime.adopt()
        await made.settle(made.unit("a"))
        (before,) = made.of("app/a")
        await made.runtime.close()
        assert before.pid is not None
        os.kill(before.pid, 0)  # it runs
        os.killpg(before.pid, signal.SIGKILL)
