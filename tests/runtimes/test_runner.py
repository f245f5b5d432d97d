"""Any runner gets back-off, records and adoption from the keeper, also one without processes."""

import asyncio
import signal
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pytest

from bateau.domain.errors import BUG, ReplicaError
from bateau.domain.process import ProbeTarget, ProcessTemplate
from bateau.domain.replica import ReplicaState
from bateau.kit.backoff import Backoff
from bateau.observe.probes import NetworkProber
from bateau.runtimes.local import Instance, LocalKeeper
from bateau.runtimes.local import keeper as keeper_module
from bateau.runtimes.local.records import Record
from bateau.runtimes.local.runner import Ended, Launched, Running
from bateau.wiring.this_process import SystemClock
from runtimes.rig import Rig, look, server, until, until_state

TEMPLATE = ProcessTemplate(revision="r1", command=("hello",), runner="echo", stop_timeout_s=1.0)


@dataclass
class Echo:
    """A replica that does nothing until it is stopped."""

    pid: int
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def exited(self) -> bool:
        return self.over.is_set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self.over.wait()
        except TimeoutError:
            return False
        return True

    def exit_text(self) -> str:
        return "said everything"

    async def end(self, *, stop_timeout_s: float, stop_signal: signal.Signals) -> int:
        del stop_timeout_s, stop_signal
        self.over.set()
        return 0

    def kill(self) -> None:
        self.over.set()

    async def cpu_s(self) -> float:
        return 0.0

    def close(self, *, reap: bool) -> None:
        del reap


class EchoRunner:
    """Satisfies `Runner`. `running` outlives the keeper, as processes do."""

    name = "echo"

    def __init__(self, instance: Instance, running: dict[str, Echo]) -> None:
        self._instance = instance
        self.running = running
        self.cleaned = 0
        self.broken: dict[str, Exception] = {}  # what `find` raises, by replica

    def launch(self, record: Record) -> Launched:
        record = replace(record, ready=False)
        self._instance.records.write(record)
        self.running[record.id] = Echo(len(self.running) + 1)
        return Launched(self.running[record.id], record, None)

    def find(self, record: Record) -> Running | Ended:
        if record.id in self.broken:
            raise self.broken[record.id]
        found = self.running.get(record.id)
        return Ended("fell silent") if found is None or found.exited else found

    def running_ids(self) -> Collection[str]:
        return [replica_id for replica_id, echo in self.running.items() if not echo.exited]

    async def end_rest(self, replica_id: str, *, stop_timeout_s: float, stop_signal: signal.Signals) -> None:
        del stop_timeout_s, stop_signal
        self.running[replica_id].over.set()

    def limits(self, record: Record) -> str | None:
        del record
        return None

    def clean_up(self, record: Record) -> str:
        del record
        self.cleaned += 1
        return ""


def keeper_of(rig: Rig, running: dict[str, Echo]) -> LocalKeeper:
    instance = rig.of_machine()
    return LocalKeeper(instance, prober=NetworkProber(), clock=SystemClock(), runners=[EchoRunner(instance, running)])


async def test_the_keeper_restarts_adopts_and_stops_the_replicas_of_any_runner(rig: Rig) -> None:
    running: dict[str, Echo] = {}
    first = keeper_of(rig, running)
    await first.start("app.a.0", "app/a", TEMPLATE)
    await first.start("app.b.0", "app/b", TEMPLATE)
    running["app.a.0"].over.set()
    assert (await until_state(first, "app.a.0", ReplicaState.BACKOFF)).reason == "said everything"
    await until(first, lambda: look(first, "app.a.0").restarts == 1)
    running["app.a.0"].over.set()
    await until_state(first, "app.a.0", ReplicaState.BACKOFF)
    pid = look(first, "app.b.0").pid
    await first.close()

    running["stray.c.0"] = Echo(99)
    second = keeper_of(rig, running)
    await second.adopt()
    assert (look(second, "app.b.0").pid, look(second, "app.b.0").adopted) == (pid, True)
    assert look(second, "app.a.0").reason == "fell silent"
    assert running["stray.c.0"].exited
    for replica in second.observe():
        await second.stop(replica.id)
    assert second.observe() == []
    assert running["app.b.0"].exited
    await second.close()


async def test_a_runner_that_this_machine_does_not_have_is_one_error(rig: Rig) -> None:
    keeper = rig.runtime()
    with pytest.raises(ReplicaError, match="no runner 'echo'"):
        await keeper.start("app.a.0", "app/a", TEMPLATE)
    assert keeper.observe() == []


@pytest.mark.parametrize("error", [RuntimeError("planted"), ReplicaError("process 7 cannot be watched")])
async def test_a_replica_that_cannot_be_found_is_reported_and_nothing_is_started_for_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Issue 8: a bug while one replica was adopted ended `bateau up`."""
    monkeypatch.setattr(keeper_module, "_FIND", Backoff(initial_s=0.05, ceiling_s=0.05))
    running: dict[str, Echo] = {}
    first = keeper_of(rig, running)
    for name in ("a", "b", "c"):
        await first.start(f"app.{name}.0", f"app/{name}", TEMPLATE)
    pids = {replica.id: replica.pid for replica in first.observe()}
    await first.close()

    instance = rig.of_machine()
    runner = EchoRunner(instance, running)
    runner.broken = {"app.a.0": error, "app.c.0": error}
    second = LocalKeeper(instance, prober=NetworkProber(), clock=SystemClock(), runners=[runner])
    await second.adopt()
    assert look(second, "app.b.0").pid == pids["app.b.0"]
    found = look(second, "app.a.0")
    assert (found.state, found.pid) == (ReplicaState.BACKOFF, None)
    says = BUG if isinstance(error, RuntimeError) else "process 7 cannot be watched"
    assert (found.reason or "").startswith(f"it is not known whether it runs: {says}")
    assert not any(echo.exited for echo in running.values()), "it is not a stray process"

    await second.stop("app.c.0")
    assert running["app.c.0"].exited
    runner.broken = {}
    await until(second, lambda: look(second, "app.a.0").pid == pids["app.a.0"])
    assert look(second, "app.a.0").adopted
    running["app.a.0"].over.set()
    await until(second, lambda: look(second, "app.a.0").restarts == 1)
    for replica in second.observe():
        await second.stop(replica.id)
    await second.close()


async def test_a_bug_in_the_first_probe_of_an_adopted_replica_is_shown_there(rig: Rig) -> None:
    """The first probe is a part of the adoption, so a bug in it ended `bateau up`, too."""

    class _Broken:
        async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
            del target, timeout_s
            raise RuntimeError("planted")

    first = rig.runtime()
    await first.start("model.chat.0", "model/chat", server())
    before = await until_state(first, "model.chat.0", ReplicaState.READY)
    await first.close()
    second = rig.runtime(prober=_Broken())
    await second.adopt()
    await until(second, lambda: (look(second, "model.chat.0").reason or "").startswith(BUG))
    assert look(second, "model.chat.0").pid == before.pid
