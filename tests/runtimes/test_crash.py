"""If a control plane is killed by SIGKILL at any moment, no replica is lost and none is left behind."""

import asyncio
import random
import sys

from bateau.domain.replica import ReplicaState
from bateau.runtimes.local import LocalKeeper
from bateau.runtimes.local.adoption import look
from bateau.runtimes.local.process_runner import ProcessRunner
from bateau.runtimes.local.records import Records
from bateau.runtimes.local.runner import Ended, Unknown
from runtimes.rig import Rig, until

ROUNDS = 15

# Adopts, then starts and stops replicas without end.
CONTROL_PLANE = """
import asyncio, random, sys
from pathlib import Path
sys.path.insert(0, "tests")
from runtimes.rig import Rig, shell
async def main():
    choose = random.Random(int(sys.argv[3]))
    runtime = Rig(Path(sys.argv[1]), sys.argv[2]).runtime()
    await runtime.adopt()
    print("up", flush=True)
    while True:
        replica_id = f"app.a.{choose.randrange(4)}"
        if any(replica.id == replica_id for replica in runtime.observe()):
            if choose.random() < 0.5:
                await runtime.stop(replica_id)
        else:
            template = shell("exec sleep 107" if choose.random() < 0.7 else "exit 1", port_names=("http",))
            await runtime.start(replica_id, "app/a", template)
        await asyncio.sleep(choose.random() * 0.01)
asyncio.run(main())
"""


async def until_none_is_stopping(runtime: LocalKeeper) -> None:
    await until(runtime, lambda: all(each.state is not ReplicaState.STOPPING for each in runtime.observe()))


async def test_whenever_the_control_plane_is_killed_the_next_one_finds_the_same_processes(rig: Rig) -> None:
    choose = random.Random(20)  # noqa: S311 - a seed, so that a failing round can be run again
    adopted = 0
    for number in range(ROUNDS):
        plane = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CONTROL_PLANE, str(rig.folder), rig.instance, str(number)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert plane.stdout is not None
        assert await plane.stdout.readline() == b"up\n"
        await asyncio.sleep(choose.random() * 0.25)
        plane.kill()
        await plane.communicate()

        runtime = rig.runtime()
        findings = look(Records(rig.folder / "state" / "replicas"), {"process": ProcessRunner(rig.of_machine())})
        remembered = {
            found.record.id: found.state.pid
            for found in findings.replicas
            if not isinstance(found.state, Ended | Unknown) and not found.record.stopping
        }
        for found in findings.replicas:
            if not isinstance(found.state, Ended | Unknown):
                found.state.close(reap=False)
        await runtime.adopt()
        observed = {replica.id: replica.pid for replica in runtime.observe()}
        alive = {replica_id: pid for replica_id, pid in remembered.items() if pid in rig.pids()}
        assert {**observed, **alive} == observed, f"round {number}: a replica was lost, or has another pid"
        adopted += len(alive)
        await until_none_is_stopping(runtime)
        running = {replica.pid for replica in runtime.observe() if replica.pid is not None}
        assert rig.pids() <= running, f"round {number}: something runs twice, or unknown"
        await runtime.close()
    assert adopted >= ROUNDS, "the test has hardly tested anything"
    last = rig.runtime()
    await last.adopt()
    await asyncio.gather(*(last.stop(replica.id) for replica in last.observe()))
    assert rig.pids() == set()
    assert list((rig.folder / "state" / "replicas").iterdir()) == []
