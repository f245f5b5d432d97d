"""Any runner gets back-off, records and adoption from the keeper, also one without processes."""

import asyncio
import signal
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pytest

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import ReplicaState
from bateau.observe.probes import NetworkProber
from bateau.runtimes.local import Instance, LocalKeeper
from bateau.runtimes.local.records import Record
from bateau.runtimes.local.runner import Ended, Launched, Running
from bateau.wiring.local import SystemClock
from runtimes.rig import Rig, look, until, until_state

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

    def launch(self, record: Record) -> Launched:
        record = replace(record, ready=False)
        self._instance.records.write(record)
        self.running[record.id] = Echo(len(self.running) + 1)
        return Launched(self.running[record.id], record, None)

    def find(self, record: Record) -> Running | Ended:
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
