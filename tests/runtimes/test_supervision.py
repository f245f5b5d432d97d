"""Replicas start, become ready, die, hang, and end, as real processes."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bateau.domain.errors import BUG
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.replica import ReplicaState
from bateau.domain.workload import Resources
from bateau.runtimes.local.process import stat_of
from bateau.runtimes.local.process_runner import ProcessRunner
from bateau.testing import FakeProbe, ManualClock
from runtimes.rig import Rig, look, server, shell, until, until_state, until_true


async def test_a_server_becomes_ready_once_it_answers(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("model.chat.0", "model/chat", server())
    starting = look(runtime, "model.chat.0")
    assert starting.state is ReplicaState.STARTING
    assert starting.pid is not None
    ready = await until_state(runtime, "model.chat.0", ReplicaState.READY)
    assert ready.service == "model/chat"
    assert ready.reason is None
    assert ready.addresses == {"socket": str(rig.folder / "run" / "model.chat.0.sock")}
    assert stat_of(starting.pid) is not None


def link_of(pid: int, descriptor: int) -> str:
    return str(Path(f"/proc/{pid}/fd/{descriptor}").readlink())


async def test_each_replica_leads_a_session_of_its_own(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell("exec sleep 100"))
    pid = look(runtime, "app.a.0").pid
    assert pid is not None
    stat = stat_of(pid)
    assert stat is not None
    assert (stat.session, stat.group) == (pid, pid)
    assert stat.session != os.getsid(0)
    assert [link_of(pid, number) for number in (0, 1, 2)] == ["/dev/null", *[str(rig.log("app.a.0"))] * 2]


async def test_without_a_probe_a_replica_is_ready_and_says_so(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell("exec sleep 100"))
    replica = look(runtime, "app.a.0")
    assert (replica.state, replica.reason) == (ReplicaState.READY, "no probe")


class _BrokenProbe(FakeProbe):
    """Raises while it is broken."""

    broken = False

    async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
        if self.broken:
            raise RuntimeError("planted")
        return await super().probe(target, timeout_s)


async def test_a_bug_in_a_probe_is_shown_and_supervision_continues(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Issue 8, part 1, item 2: supervision ended, and the replica was shown as ready and not restarted if it died."""
    prober = _BrokenProbe()
    runtime = rig.runtime(prober=prober)
    await runtime.start("model.chat.0", "model/chat", server())
    ready = await until_state(runtime, "model.chat.0", ReplicaState.READY)
    prober.broken = True
    await until(runtime, lambda: (look(runtime, "model.chat.0").reason or "").startswith(f"{BUG}: RuntimeError"))
    assert look(runtime, "model.chat.0").pid == ready.pid
    assert caplog.text.count("the supervision of replica model.chat.0 is retried") == 1
    prober.broken = False
    assert ready.pid
    os.kill(ready.pid, signal.SIGKILL)
    await until(runtime, lambda: look(runtime, "model.chat.0").restarts == 1)
    again = await until_state(runtime, "model.chat.0", ReplicaState.READY)
    assert again.reason is None


async def test_a_bug_in_the_restart_of_a_replica_is_retried(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended the supervision, so that the replica was never started again."""

    def broken(*_: object) -> None:
        raise RuntimeError("planted")

    runtime = rig.runtime(prober=FakeProbe())
    await runtime.start("model.chat.0", "model/chat", server())
    ready = await until_state(runtime, "model.chat.0", ReplicaState.READY)
    assert ready.pid
    with monkeypatch.context() as planted:
        planted.setattr(ProcessRunner, "launch", broken)
        os.kill(ready.pid, signal.SIGKILL)
        await until(runtime, lambda: (look(runtime, "model.chat.0").reason or "").startswith(f"{BUG}: RuntimeError"))
        assert look(runtime, "model.chat.0").state is ReplicaState.BACKOFF
    again = await until_state(runtime, "model.chat.0", ReplicaState.READY)
    assert again.pid != ready.pid


async def test_stop_leaves_no_process_no_socket_and_no_record(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("model.chat.0", "model/chat", server())
    await until_state(runtime, "model.chat.0", ReplicaState.READY)
    assert rig.record("model.chat.0").exists()
    await asyncio.gather(runtime.stop("model.chat.0"), runtime.stop("model.chat.0"))
    assert runtime.observe() == []
    assert rig.pids() == set()
    assert not rig.record("model.chat.0").exists()
    assert list((rig.folder / "run").iterdir()) == []


async def test_a_crash_is_told_with_code_and_last_lines_and_mended_after_a_wait(rig: Rig) -> None:
    runtime = rig.runtime()
    once = rig.folder / "once"
    script = f"test -e {once} && exec sleep 100; touch {once}; echo one; echo two; exit 3"
    await runtime.start("app.a.0", "app/a", shell(script))
    waiting = await until_state(runtime, "app.a.0", ReplicaState.BACKOFF)
    assert (waiting.reason, waiting.pid, waiting.last_log) == ("exited with code 3", None, ("one", "two"))
    ready = await until_state(runtime, "app.a.0", ReplicaState.READY)
    assert ready.restarts == 1
    assert ready.pid is not None


async def test_death_by_signal_is_named(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell("exec sleep 100"))
    pid = look(runtime, "app.a.0").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    waiting = await until_state(runtime, "app.a.0", ReplicaState.BACKOFF)
    assert waiting.reason == "killed by signal 9 (SIGKILL)"
    await until_true(lambda: stat_of(pid) is None)  # reaped


async def test_failures_in_a_row_wait_longer_each_and_a_long_healthy_run_is_forgiven(rig: Rig) -> None:
    clock = ManualClock()
    runtime = rig.runtime(clock=clock)
    await runtime.start("app.a.0", "app/a", shell("exec sleep 100"))

    async def kill_and_wait() -> None:
        pid = look(runtime, "app.a.0").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until_state(runtime, "app.a.0", ReplicaState.BACKOFF)
        await until_true(lambda: rig.pids() == set())

    async def is_back_after(seconds: float) -> None:
        clock.advance(seconds - 0.01)
        await asyncio.sleep(0.6)  # longer than the supervisor takes to look at its clock again
        assert look(runtime, "app.a.0").state is ReplicaState.BACKOFF
        clock.set_wall(-1000)
        clock.advance(0.01)
        await until_state(runtime, "app.a.0", ReplicaState.READY)

    await kill_and_wait()
    await is_back_after(1.0)
    await kill_and_wait()
    await is_back_after(2.0)
    clock.advance(60.0)
    await kill_and_wait()
    await until_state(runtime, "app.a.0", ReplicaState.READY)
    assert look(runtime, "app.a.0").restarts == 3


async def test_a_sick_server_takes_no_requests_and_is_ready_again_when_well(rig: Rig) -> None:
    sick = rig.folder / "sick"
    runtime = rig.runtime()
    await runtime.start("model.chat.0", "model/chat", server(sick=sick, failure_threshold=1000))
    pid = (await until_state(runtime, "model.chat.0", ReplicaState.READY)).pid
    sick.touch()
    unready = await until_state(runtime, "model.chat.0", ReplicaState.UNREADY)
    assert unready.reason == "answered 503: Loading model"
    sick.unlink()
    assert (await until_state(runtime, "model.chat.0", ReplicaState.READY)).pid == pid


async def test_a_hanging_server_is_restarted(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("model.chat.0", "model/chat", server(timeout_s=0.1, failure_threshold=3))
    pid = (await until_state(runtime, "model.chat.0", ReplicaState.READY)).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    waiting = await until_state(runtime, "model.chat.0", ReplicaState.BACKOFF)
    assert waiting.reason == "failed 3 probes in a row: no answer within 0.1 s"
    assert stat_of(pid) is None
    assert (await until_state(runtime, "model.chat.0", ReplicaState.READY)).pid != pid


async def test_a_server_that_never_gets_ready_is_restarted_and_says_why(rig: Rig) -> None:
    sick = rig.folder / "sick"
    sick.touch()
    runtime = rig.runtime()
    await runtime.start("model.chat.0", "model/chat", server(sick=sick, start_timeout_s=0.5))
    waiting = await until_state(runtime, "model.chat.0", ReplicaState.BACKOFF)
    assert waiting.reason == "not ready within 0.5 s: answered 503: Loading model"
    assert waiting.last_log == ("listening",)


async def test_a_process_deaf_to_sigterm_is_killed_after_its_stop_timeout(rig: Rig) -> None:
    runtime = rig.runtime()
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    )
    template = ProcessTemplate(revision="r1", command=(sys.executable, "-S", "-c", deaf), stop_timeout_s=0.2)
    await runtime.start("app.a.0", "app/a", template)
    await until_true(lambda: rig.log("app.a.0").read_text() == "deaf\n")
    await runtime.stop("app.a.0")
    assert rig.pids() == set()


async def test_a_stopped_process_is_continued_so_that_it_can_end_by_itself(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell("trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.05; done"))
    await until_true(lambda: rig.log("app.a.0").read_text() == "up\n")
    pid = look(runtime, "app.a.0").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await runtime.stop("app.a.0")
    assert rig.log("app.a.0").read_text().endswith("bye\n")


async def test_grandchildren_may_end_in_peace_before_they_are_killed(rig: Rig) -> None:
    runtime = rig.runtime()
    child = "trap 'sleep 0.2; echo child done; exit' TERM; echo up; while :; do sleep 0.05; done"
    await runtime.start("app.a.0", "app/a", shell(f'sh -c "{child}" & wait'))
    await until_true(lambda: rig.log("app.a.0").read_text() == "up\n")
    await runtime.stop("app.a.0")
    assert rig.log("app.a.0").read_text().endswith("child done\n")


@pytest.mark.parametrize(
    "escape", ["setsid sleep 101 & exec sleep 100", "(setsid sh -c 'sleep 101 & sleep 102 &' &); exec sleep 100"]
)
async def test_what_forks_out_of_the_session_is_ended_with_the_replica(rig: Rig, escape: str) -> None:
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell(escape))
    leader = look(runtime, "app.a.0").pid
    assert leader is not None

    def outside() -> list[int]:
        stats = [stat_of(pid) for pid in rig.pids()]
        return [stat.pid for stat in stats if stat is not None and stat.session not in {leader, os.getsid(0)}]

    await until_true(lambda: len(outside()) >= escape.count("sleep 10") - 1)
    await runtime.stop("app.a.0")
    assert rig.pids() == set()


async def test_a_member_of_the_session_is_ended_even_without_our_marks(rig: Rig) -> None:
    runtime = rig.runtime()
    pidfile = rig.folder / "pid"
    await runtime.start("app.a.0", "app/a", shell(f"env -i sleep 103 & echo $! > {pidfile}; wait"))
    await until_true(lambda: pidfile.exists() and pidfile.read_text().endswith("\n"))
    await runtime.stop("app.a.0")
    stat = stat_of(int(pidfile.read_text()))
    assert stat is None or stat.ended


async def test_a_program_that_goes_to_the_background_is_told_to_stay(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell("setsid sleep 104 & sleep 0.1"))
    waiting = await until_state(runtime, "app.a.0", ReplicaState.BACKOFF)
    assert waiting.reason == "exited with code 0"
    told = "exited with code 0 and left processes behind, which were ended: the program must stay in the foreground"
    await until(runtime, lambda: look(runtime, "app.a.0").reason == told)


async def test_ports_are_handed_out_once_and_kept_over_a_restart(rig: Rig) -> None:
    runtime = rig.runtime()
    template = shell("echo {port:http} {port:admin}; exec sleep 100", port_names=("http", "admin"))
    await runtime.start("app.a.0", "app/a", template)
    await runtime.start("app.a.1", "app/a", template)
    first, second = runtime.observe()
    assert len({*first.addresses.values(), *second.addresses.values()}) == 4
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    await until_state(runtime, "app.a.0", ReplicaState.BACKOFF)
    again = await until_state(runtime, "app.a.0", ReplicaState.READY)
    assert again.addresses == first.addresses
    line = " ".join(address.removeprefix("127.0.0.1:") for address in first.addresses.values())
    await until_true(lambda: rig.log("app.a.0").read_text() == f"{line}\n{line}\n")


async def test_the_address_of_the_probe_names_the_port_that_was_handed_out(rig: Rig) -> None:
    probe = FakeProbe()
    runtime = rig.runtime(prober=probe)
    plan = ProbePlan(target=ProbeTarget(kind="grpc", address="127.0.0.1:{port:grpc}", path="/x"), interval_s=0.1)
    await runtime.start("app.a.0", "app/a", shell("exec sleep 100", port_names=("grpc",), probe=plan))
    address = (await until_state(runtime, "app.a.0", ReplicaState.READY)).addresses["grpc"]
    assert probe.asked[0] == ProbeTarget(kind="grpc", address=address, path="/x")
    probe.answers[address] = "answered NOT_SERVING"
    assert (await until_state(runtime, "app.a.0", ReplicaState.UNREADY)).reason == "answered NOT_SERVING"


async def test_every_change_wakes_who_listens(rig: Rig) -> None:
    runtime = rig.runtime()
    states: list[ReplicaState] = []

    def wake() -> None:
        states.extend(replica.state for replica in runtime.observe())

    runtime.on_change(wake)
    await runtime.start("model.chat.0", "model/chat", server())
    await until_state(runtime, "model.chat.0", ReplicaState.READY)
    await runtime.stop("model.chat.0")
    assert list(dict.fromkeys(states)) == [ReplicaState.STARTING, ReplicaState.READY, ReplicaState.STOPPING]


async def test_limits_that_are_not_held_are_told_as_such(rig: Rig, v1_mount: Path) -> None:
    from bateau.runtimes.local.limits import Cgroups

    runtime = rig.runtime(cgroups=Cgroups(mount=v1_mount))
    await runtime.start("app.a.0", "app/a", shell("exec sleep 100", resources=Resources(memory=2**29)))
    await runtime.start("app.b.0", "app/b", shell("exec sleep 100"))
    limited, free = runtime.observe()
    assert limited.limits == "not enforced: this machine has cgroup v1, but Bateau needs cgroup v2"
    assert free.limits is None


@pytest.fixture
def v1_mount(tmp_path: Path) -> Path:
    (tmp_path / "memory").mkdir()
    return tmp_path


async def test_a_server_that_is_killed_for_the_first_time_is_started_at_once_and_then_waits(rig: Rig) -> None:
    clock = ManualClock()
    runtime = rig.runtime(clock=clock)
    await runtime.start("model.chat.0", "model/chat", server())
    first = (await until_state(runtime, "model.chat.0", ReplicaState.READY)).pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    # The clock does not move, so any start that happens now has no delay.
    await until(runtime, lambda: look(runtime, "model.chat.0").pid not in (None, first))
    second = (await until_state(runtime, "model.chat.0", ReplicaState.READY)).pid
    assert second is not None
    os.kill(second, signal.SIGKILL)
    waiting = await until_state(runtime, "model.chat.0", ReplicaState.BACKOFF)
    assert waiting.restarts == 1
    clock.advance(2.0)
    await until_state(runtime, "model.chat.0", ReplicaState.READY)


# Answers its first probe, then takes connections and answers none; works, or waits, in a child of its own.
DEAF = """
import os, socket, subprocess, sys
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen(64)
connection, _ = listener.accept()
connection.recv(4096)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
connection.close()
subprocess.run(["/bin/sh", "-c", sys.argv[2]])
"""


def deaf(script: str) -> ProcessTemplate:
    template = server(interval_s=0.2, timeout_s=0.2)
    return replace(template, command=(sys.executable, "-S", "-c", DEAF, "{socket}", script))


async def test_a_replica_whose_workers_are_busy_is_not_restarted_for_silence(rig: Rig) -> None:
    """A2: killing a busy replica would lose its requests. The CPU time of its workers counts as well."""
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", deaf("while :; do :; done"))
    await until(runtime, lambda: str(look(runtime, "app.a.0").reason).startswith("busy: no answer"))
    pid = look(runtime, "app.a.0").pid
    await asyncio.sleep(4.0)  # ten probes
    replica = look(runtime, "app.a.0")
    assert (replica.state, replica.pid, replica.restarts) == (ReplicaState.READY, pid, 0)


async def test_a_replica_that_is_silent_and_does_nothing_is_restarted(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", deaf("sleep 100"))
    waiting = await until_state(runtime, "app.a.0", ReplicaState.BACKOFF)
    assert waiting.reason == "failed 3 probes in a row: no answer within 0.2 s"
