"""End a replica with all that it started: SIGTERM first, SIGKILL when its time is over, until nothing is left.

Called by runtimes.local.process_runner.

Invariant: `end` returns when no process of the session and none with the replica's mark runs, or raises ReplicaError.
Refused: killing the process group alone; shells with job control and daemons that fork twice leave it.
"""

import asyncio
import os
import signal
from dataclasses import dataclass

from bateau.domain.errors import ReplicaError
from bateau.runtimes.local.process import MARK_INSTANCE, MARK_REPLICA, Process, Stat, every_process, marks_of, stat_of

KILL_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Kin:
    """What makes a process one of a replica: its session, or the marks in its environment.

    `session` is None where the leader is long gone: then the number may belong to somebody else.
    """

    instance: str
    replica_id: str
    session: int | None = None
    session_start_ticks: int = 0

    def find(self) -> list[Stat]:
        """Return the processes of the replica that run."""
        session = self.session
        leader = None if session is None else stat_of(session)
        if leader is not None and leader.start_ticks != self.session_start_ticks:
            session = None  # the number has a new owner, so the session that we knew is empty
        return [stat for stat in every_process() if stat.session == session or self._carries_marks(stat.pid)]

    def cpu_s(self) -> float:
        """Return the seconds that the processes of the replica have spent on a CPU."""
        return sum(stat.cpu_ticks for stat in self.find()) / os.sysconf("SC_CLK_TCK")

    def _carries_marks(self, pid: int) -> bool:
        marks = marks_of(pid) or {}
        return marks.get(MARK_INSTANCE) == self.instance and marks.get(MARK_REPLICA, "") == self.replica_id


async def end(
    leader: Process | None, kin: Kin, *, stop_timeout_s: float, stop_signal: signal.Signals = signal.SIGTERM
) -> int:
    """End a replica; return how many processes its leader had left behind.

    The whole of it has `stop_timeout_s` seconds to end after SIGTERM. A stopped process is continued, or it would
    never see the signal. Raises ReplicaError when the kernel cannot kill a process.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + stop_timeout_s
    group = None
    if leader is not None and not leader.exited:
        group = leader.pid
        leader.send_to_group(stop_signal)
        leader.send_to_group(signal.SIGCONT)
        await leader.wait(stop_timeout_s)
    left = await _hold(kin)
    left_behind = len([process for process in left if leader is None or process.pid != leader.pid])
    try:
        for process in left:
            # The group has had its signal: some programs take a second one for "at once".
            stat = stat_of(process.pid)
            if group is None or (stat is not None and stat.group != group):
                process.send(signal.SIGTERM)
                process.send(signal.SIGCONT)
        await _all_gone(left, deadline - loop.time())
    finally:
        _release(left)
    await _kill(leader, kin)
    return left_behind


async def _kill(leader: Process | None, kin: Kin) -> None:
    """Kill until a look finds nobody: what forks while it is killed is found by the next look."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + KILL_TIMEOUT_S
    while left := await _hold(kin):
        try:
            for process in left:
                process.send(signal.SIGKILL)
            await _all_gone(left, deadline - loop.time())
            stuck = [process.pid for process in left if not process.exited]
        finally:
            _release(left)
        if stuck and loop.time() >= deadline:
            raise ReplicaError(
                f"process {stuck[0]} of replica {kin.replica_id} does not end, even by SIGKILL",
                hint="it waits in the kernel, for a disk or a device; look at `cat /proc/PID/stack` and dmesg",
            )
    if leader is not None:
        await leader.wait()


async def _hold(kin: Kin) -> list[Process]:
    # In a thread: a look at a thousand processes takes tens of milliseconds, which the event loop does not have.
    found = await asyncio.to_thread(kin.find)
    held = [Process.open(stat.pid, start_ticks=stat.start_ticks) for stat in found]
    return [process for process in held if process is not None]


async def _all_gone(processes: list[Process], timeout_s: float) -> None:
    await asyncio.gather(*(process.wait(max(0.0, timeout_s)) for process in processes))


def _release(processes: list[Process]) -> None:
    for process in processes:
        process.close(reap=False)
