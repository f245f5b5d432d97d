"""A new control plane adopts the processes of the last one, and touches no process of another program."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import ReplicaState
from bateau.runtimes.local.process import boot_id, stat_of
from runtimes.rig import Rig, look, server, shell, until_state, until_true


@pytest.fixture
def stranger() -> Iterator[int]:
    """Yield the pid of a session leader that belongs to another program."""
    process = subprocess.Popen(["sleep", "200"], start_new_session=True)
    yield process.pid
    assert process.poll() is None, "a stranger was killed"
    process.kill()
    process.wait()


def change(rig: Rig, replica_id: str, **values: Any) -> None:
    path = rig.record(replica_id)
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


async def test_what_runs_goes_on_with_the_same_pid_ports_and_condition(rig: Rig) -> None:
    first = rig.runtime()
    await first.start("model.chat.0", "model/chat", server())
    await first.start("app.a.0", "app/a", shell("exec sleep 100", port_names=("http",)))
    before = await until_state(first, "model.chat.0", ReplicaState.READY)
    app = look(first, "app.a.0")
    await first.close()
    assert rig.pids() == {before.pid, app.pid}

    second = rig.runtime()
    assert second.observe() == []
    await second.adopt()
    after = look(second, "model.chat.0")
    assert (after.pid, after.state, after.adopted) == (before.pid, ReplicaState.READY, True)
    assert after.since == before.since
    assert look(second, "app.a.0").addresses == app.addresses
    await second.start("app.b.0", "app/b", shell("exec sleep 100", port_names=("http",)))
    assert look(second, "app.b.0").addresses != app.addresses


async def test_an_adopted_replica_that_dies_is_started_again(rig: Rig) -> None:
    # Not our child: born of a process that has ended, as after a restart of the control plane.
    birth = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BIRTH, str(rig.folder), rig.instance), stdout=asyncio.subprocess.PIPE
    )
    pid = int((await birth.communicate())[0])
    runtime = rig.runtime()
    await runtime.adopt()
    assert look(runtime, "app.a.0").pid == pid
    os.kill(pid, signal.SIGKILL)
    assert (await until_state(runtime, "app.a.0", ReplicaState.BACKOFF)).reason == "exited (code unknown: adopted)"
    again = await until_state(runtime, "app.a.0", ReplicaState.READY)
    assert (again.adopted, again.restarts) == (False, 1)


BIRTH = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, "tests")
from runtimes.rig import Rig, shell
async def main():
    runtime = Rig(Path(sys.argv[1]), sys.argv[2]).runtime()
    await runtime.start("app.a.0", "app/a", shell("exec sleep 100"))
    print(runtime.observe()[0].pid)
    await runtime.close()
asyncio.run(main())
"""


async def test_what_died_meanwhile_is_started_again_after_its_wait(rig: Rig) -> None:
    first = rig.runtime()
    await first.start("app.a.0", "app/a", shell("setsid sleep 105 & exec sleep 100"))
    await until_true(lambda: len(rig.pids()) == 2)
    pid = look(first, "app.a.0").pid
    assert pid is not None
    await first.close()
    os.kill(pid, signal.SIGKILL)
    await until_true(lambda: pid not in rig.pids())
    second = rig.runtime()
    await second.adopt()
    waiting = look(second, "app.a.0")
    assert (waiting.state, waiting.reason) == (ReplicaState.BACKOFF, "exited while no control plane ran")
    assert rig.pids() == set(), "its worker would block the next process"
    assert stat_of(pid) is None, "the child was not reaped"
    assert (await until_state(second, "app.a.0", ReplicaState.READY)).restarts == 1


async def test_after_a_boot_replicas_are_started_at_once(rig: Rig, stranger: int) -> None:
    first = rig.runtime()
    await first.start("app.a.0", "app/a", shell("exec sleep 100"))
    await first.stop("app.a.0")
    await first.start("app.a.0", "app/a", shell("exec sleep 100"))
    text = rig.record("app.a.0").read_text()
    await first.stop("app.a.0")
    rig.record("app.a.0").write_text(text)
    stat = stat_of(stranger)
    assert stat is not None
    change(rig, "app.a.0", process={"pid": stranger, "start_ticks": stat.start_ticks, "boot_id": "another"})
    second = rig.runtime()
    await second.adopt()
    assert look(second, "app.a.0").reason == "the machine was restarted"
    assert (await until_state(second, "app.a.0", ReplicaState.READY)).pid != stranger


@pytest.mark.parametrize("same_ticks", [True, False])
async def test_a_reused_pid_is_neither_adopted_nor_ended(rig: Rig, stranger: int, same_ticks: bool) -> None:
    first = rig.runtime()
    await first.start("app.a.0", "app/a", shell("exec sleep 100"))
    text = rig.record("app.a.0").read_text()
    await first.stop("app.a.0")
    rig.record("app.a.0").write_text(text)
    stat = stat_of(stranger)
    assert stat is not None
    ticks = stat.start_ticks if same_ticks else stat.start_ticks - 1
    change(rig, "app.a.0", process={"pid": stranger, "start_ticks": ticks, "boot_id": boot_id()})
    second = rig.runtime()
    await second.adopt()
    assert look(second, "app.a.0").state is ReplicaState.BACKOFF
    assert look(second, "app.a.0").adopted is False
    await second.stop("app.a.0")
    assert stat_of(stranger) == stat


async def test_a_process_that_has_overwritten_its_environment_is_still_known(rig: Rig) -> None:
    wipe = """
import ctypes, time
fields = open("/proc/self/stat").read().rsplit(")", 1)[1].split()
start, end = int(fields[47]), int(fields[48])
ctypes.memset(start, 0, end - start)
print("wiped", flush=True)
time.sleep(100)
"""
    first = rig.runtime()
    await first.start("app.a.0", "app/a", ProcessTemplate(revision="r1", command=(sys.executable, "-S", "-c", wipe)))
    await until_true(lambda: rig.log("app.a.0").read_text() == "wiped\n")
    pid = look(first, "app.a.0").pid
    assert pid is not None
    assert rig.pids() == set()
    await first.close()
    second = rig.runtime()
    await second.adopt()
    assert look(second, "app.a.0").pid == pid
    await second.stop("app.a.0")
    assert stat_of(pid) is None


@pytest.mark.parametrize("damage", ["", '{"version": 1, "id": "app', "[]", '{"version": 99}', "\x00\xff"])
async def test_a_damaged_record_is_set_aside_and_reported(
    rig: Rig, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = rig.runtime()
    await first.start("app.a.0", "app/a", shell("exec sleep 100"))
    await first.start("app.b.0", "app/b", shell("exec sleep 100"))
    kept = look(first, "app.b.0").pid
    await first.close()
    rig.record("app.a.0").write_text(damage)
    second = rig.runtime()
    with caplog.at_level(logging.WARNING):
        await second.adopt()
    assert "A record is damaged" in caplog.text
    assert [replica.id for replica in second.observe()] == ["app.b.0"]
    assert rig.pids() == {kept}, "the process that nobody remembers goes, the other stays"
    assert rig.record("app.a.0").with_suffix(".damaged").read_text() == damage
    await second.start("app.a.0", "app/a", shell("exec sleep 100"))


async def test_a_record_that_cannot_be_read_is_set_aside(rig: Rig) -> None:
    rig.record("app.a.0").mkdir(parents=True)
    runtime = rig.runtime()
    await runtime.adopt()
    assert runtime.observe() == []
    assert rig.record("app.a.0").with_suffix(".damaged").is_dir()


async def test_a_process_born_in_the_instant_before_a_crash_is_ended(rig: Rig) -> None:
    first = rig.runtime()
    await first.start("app.a.0", "app/a", shell("sleep 106 & exec sleep 100"))
    await until_true(lambda: len(rig.pids()) == 2)
    await first.close()
    rig.record("app.a.0").unlink()
    second = rig.runtime()
    await second.adopt()
    assert second.observe() == []
    assert rig.pids() == set()


async def test_another_instance_on_the_machine_is_left_alone(rig: Rig) -> None:
    other = Rig(rig.folder / "other", f"{rig.instance}-other")
    theirs = other.runtime()
    await theirs.start("app.a.0", "app/a", shell("exec sleep 100"))
    ours = rig.runtime()
    await ours.adopt()
    await ours.start("app.a.0", "app/a", shell("exec sleep 100"))
    await ours.stop("app.a.0")
    assert other.pids() == {look(theirs, "app.a.0").pid}
    await other.end()
    assert other.pids() == set()


async def test_a_stop_that_was_cut_short_is_finished(rig: Rig) -> None:
    first = rig.runtime()
    await first.start("app.a.0", "app/a", shell("trap '' TERM; echo up; while :; do sleep 0.05; done"))
    await until_true(lambda: rig.log("app.a.0").exists() and rig.log("app.a.0").read_text() == "up\n")
    stop = asyncio.create_task(first.stop("app.a.0"))
    await until_true(lambda: '"stopping": true' in rig.record("app.a.0").read_text())
    await first.close()
    with pytest.raises(asyncio.CancelledError):
        await stop
    pid = rig.pids()
    assert pid
    change(rig, "app.a.0", template={**json.loads(rig.record("app.a.0").read_text())["template"], "stop_timeout_s": 0})
    second = rig.runtime()
    await second.adopt()
    await until_true(lambda: second.observe() == [])
    assert rig.pids() == set()
    assert not rig.record("app.a.0").exists()


async def test_a_record_that_was_being_written_is_removed(rig: Rig) -> None:
    folder = rig.folder / "state" / "replicas"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.a.2.new").write_text('{"version": ')
    runtime = rig.runtime()
    await runtime.adopt()
    assert list(folder.iterdir()) == []
    assert not list(runtime.observe())
