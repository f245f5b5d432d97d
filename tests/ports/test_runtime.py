"""What every runtime promises: one suite, run against the local runtime and the fake.

A runtime joins with a row in RIGS: how it is made, and how a unit looks whose replicas get ready, or cannot start.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.domain.endpoint import Load
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.unit import Body, Unit
from bateau.domain.workload import ServiceKey
from bateau.observe.probes import NetworkProber
from bateau.ports.runtime import Runtime
from bateau.runtimes.local import Instance, LocalKeeper, LocalRuntime
from bateau.testing import FakeRuntime

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


class SystemClock:
    """The clocks of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


@dataclass
class Rig:
    """A runtime, and the bodies of units that it can run."""

    runtime: Runtime
    body: Callable[[str], Body]
    broken: Callable[[str], Body]

    def unit(self, name: str, revision: str = "1", *, replicas: int = 1, drain_timeout_s: float = 0.0) -> Unit:
        """Return a unit whose replicas get ready."""
        return self._unit(name, self.body(revision), replicas, drain_timeout_s)

    def broken_unit(self, name: str) -> Unit:
        """Return a unit of which no replica can start."""
        if isinstance(self.runtime, FakeRuntime):
            self.runtime.refusals[f"app/{name}"] = "program /no/such/program does not exist"
        return self._unit(name, self.broken("broken"), 1, 0.0)

    def _unit(self, name: str, body: Body, replicas: int, drain_timeout_s: float) -> Unit:
        key = ServiceKey.of("App", name)
        return Unit(key=key, target="process", body=body, replicas=replicas, drain_timeout_s=drain_timeout_s)

    async def settle(self, *units: Unit, held: frozenset[str] = frozenset()) -> None:
        """Apply until nothing moves, as a control loop does: at every change, with the load that planes would see."""
        changed = asyncio.Event()
        self.runtime.on_change(changed.set)
        async with asyncio.timeout(WAIT_S):
            while True:
                changed.clear()
                self.runtime.note_load(self.idle())
                self.runtime.apply(units, held=held)
                seen = self.runtime.observe()
                draining = any(replica.draining for replica in seen.replicas)
                if not seen.moving and not draining and self.has(*units, held=held):
                    return
                try:
                    async with asyncio.timeout(0.2):
                        await changed.wait()
                except TimeoutError:
                    continue

    def idle(self) -> Load:
        """Return a load in which nothing is in flight."""
        return Load(in_flight={replica.id: 0 for replica in self.runtime.observe().replicas}, seen_at=time.monotonic())

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


def _process(revision: str) -> Body:
    return replace(PROCESS, revision=revision)


def _no_process(revision: str) -> Body:
    return replace(BROKEN, revision=revision)


def _local(folder: Path) -> Rig:
    clock = SystemClock()
    name = f"test-{uuid.uuid4().hex[:12]}"
    instance = Instance(name=name, state=folder / "state", runtime=folder / "run", logs=folder / "logs")
    keeper = LocalKeeper(instance, prober=NetworkProber(), clock=clock)
    return Rig(LocalRuntime(keeper, clock), _process, _no_process)


def _fake(_folder: Path) -> Rig:
    return Rig(FakeRuntime(), _process, _no_process)


RIGS = {"local": _local, "fake": _fake}


@pytest_asyncio.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    made = RIGS[request.param](folder)
    await made.runtime.adopt()
    yield made
    assert await made.runtime.remove() == {}
    assert made.runtime.observe().replicas == ()
    await made.runtime.close()
    shutil.rmtree(folder)


async def test_nothing_runs_at_first(rig: Rig) -> None:
    assert rig.runtime.observe().replicas == ()
    assert rig.runtime.observe().unknown is None


async def test_what_is_applied_gets_ready(rig: Rig) -> None:
    await rig.settle(rig.unit("a", replicas=2), rig.unit("b"))
    assert [replica.id for replica in rig.runtime.observe().replicas] == ["app.a.0", "app.a.1", "app.b.0"]


async def test_applying_does_not_wait(rig: Rig) -> None:
    started = time.monotonic()
    rig.runtime.apply([rig.unit("a", replicas=3)])
    assert time.monotonic() - started < WAIT_S / 10
    await rig.settle(rig.unit("a", replicas=3))


async def test_applying_the_same_again_changes_nothing(rig: Rig) -> None:
    await rig.settle(rig.unit("a", replicas=2))
    before = [(replica.id, replica.pid, replica.since) for replica in rig.runtime.observe().replicas]
    await rig.settle(rig.unit("a", replicas=2))
    assert [(replica.id, replica.pid, replica.since) for replica in rig.runtime.observe().replicas] == before


async def test_scaling_keeps_those_that_stay(rig: Rig) -> None:
    await rig.settle(rig.unit("a", replicas=1))
    (first,) = rig.of("app/a")
    await rig.settle(rig.unit("a", replicas=2))
    assert first.pid in {replica.pid for replica in rig.of("app/a")}
    await rig.settle(rig.unit("a", replicas=1))
    assert len(rig.of("app/a")) == 1


async def test_a_new_revision_replaces_the_old_within_its_surge(rig: Rig) -> None:
    """A surge means one thing on every runtime (issue Part 1, item 4)."""
    seen: list[tuple[int, int]] = []

    def look() -> None:
        found = rig.of("app/a")
        living = [replica for replica in found if replica.state is not ReplicaState.STOPPING]
        seen.append((len(living), sum(replica.state is ReplicaState.READY for replica in found)))

    await rig.settle(rig.unit("a", "1", replicas=2))
    rig.runtime.on_change(look)
    await rig.settle(rig.unit("a", "2", replicas=2))
    assert {replica.revision for replica in rig.of("app/a")} == {"2"}
    assert max((living for living, _ in seen), default=2) <= 3
    assert min((ready for _, ready in seen), default=2) >= 2, "as many as wanted stay ready all the time"


async def test_what_is_not_applied_any_longer_leaves(rig: Rig) -> None:
    await rig.settle(rig.unit("a"), rig.unit("b"))
    await rig.settle(rig.unit("b"))
    assert rig.of("app/a") == []


async def test_what_is_held_stays_as_it_is(rig: Rig) -> None:
    await rig.settle(rig.unit("a"), rig.unit("b"))
    (before,) = rig.of("app/a")
    await rig.settle(rig.unit("b"), held=frozenset({"app/a"}))
    (after,) = rig.of("app/a")
    assert after.pid == before.pid


async def test_a_unit_that_cannot_start_is_reported_and_hinders_no_other(rig: Rig) -> None:
    broken = rig.broken_unit("broken")
    async with asyncio.timeout(WAIT_S):
        while not rig.runtime.observe().failures or not rig.of("app/good"):
            rig.runtime.apply([broken, rig.unit("good")])
            await asyncio.sleep(0.05)
    assert "/no/such/program" in rig.runtime.observe().failures["app/broken"]
    assert "app/broken" in rig.runtime.observe().moving
    assert rig.of("app/broken") == []


async def test_removing_one_service_leaves_the_others(rig: Rig) -> None:
    await rig.settle(rig.unit("a"), rig.unit("b"))
    assert await rig.runtime.remove({"app/a"}) == {}
    assert [replica.service for replica in rig.runtime.observe().replicas] == ["app/b"]


async def test_listeners_are_woken(rig: Rig) -> None:
    woken = asyncio.Event()
    rig.runtime.on_change(woken.set)
    rig.runtime.apply([rig.unit("a")])
    async with asyncio.timeout(WAIT_S):
        await woken.wait()


async def test_metrics_of_replicas_without_a_page_are_not_there(rig: Rig) -> None:
    await rig.settle(rig.unit("a"))
    assert await rig.runtime.metrics() == {}


async def test_closing_lets_go_and_stops_nothing() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    made = _local(folder)
    await made.runtime.adopt()
    await made.settle(made.unit("a"))
    (before,) = made.of("app/a")
    await made.runtime.close()
    assert before.pid is not None
    os.kill(before.pid, 0)  # it runs
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(before.pid, signal.SIGKILL)
