"""End a replica with all processes that it started: SIGTERM first, SIGKILL after the timeout, until none is left.

Called by runtimes.local.process_runner.

Invariant: `end` returns only when no process of the session, and none with the replica's mark, runs. Otherwise it
raises ReplicaError. Held by tests/runtimes/test_supervision.py.
Refused: killing the process group alone; shells with job control and daemons that fork twice leave it.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from bateau.domain.errors import ReplicaError
from bateau.runtimes.local.process import Process, Stat, stat_of
from bateau.runtimes.local.scans import Scans

KILL_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Kin:
    """Identifies the processes of a replica: by their session, or by the marks in their environment.

    `session` is None if the leader has ended before, because its number may belong to another process by now.
    """

    instance: str
    replica_id: str
    scans: Scans
    session: int | None = None
    session_start_ticks: int = 0

    async def find(self) -> Sequence[Stat]:
        """Return the running processes of the replica."""
        scan, session = await self.scans.next(), self.session
        leader = None if session is None else stat_of(session)
        if leader is not None and leader.start_ticks != self.session_start_ticks:
            session = None  # the number has a new owner, so the old session is empty
        return scan.of(self.instance, self.replica_id, session=session)

    async def cpu_s(self) -> float:
        """Return the CPU time of the replica's processes, in seconds."""
        return sum(stat.cpu_ticks for stat in await self.find()) / os.sysconf("SC_CLK_TCK")


async def end(
    leader: Process | None, kin: Kin, *, stop_timeout_s: float, stop_signal: signal.Signals = signal.SIGTERM
) -> int:
    """End a replica. Return the number of processes that its leader left behind.

    All its processes together have `stop_timeout_s` seconds to end after the signal. A stopped process is continued,
    because otherwise it would never receive the signal. Raises ReplicaError if the kernel cannot kill a process.
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
            # The group already has its signal. Some programs end at once, without cleanup, on a second one.
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
    """Kill until a scan finds no process. A process that forks while it is killed is found by the next scan."""
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
                f"process {stuck[0]} of replica {kin.replica_id} does not end, even after SIGKILL",
                hint="it waits in the kernel, for a disk or a device; see `cat /proc/PID/stack` and `dmesg`",
            )
    if leader is not None:
        await leader.wait()


async def _hold(kin: Kin) -> list[Process]:
    held = [Process.open(stat.pid, start_ticks=stat.start_ticks) for stat in await kin.find()]
    return [process for process in held if process is not None]


async def _all_gone(processes: list[Process], timeout_s: float) -> None:
    await asyncio.gather(*(process.wait(max(0.0, timeout_s)) for process in processes))


def _release(processes: list[Process]) -> None:
    for process in processes:
        process.close(reap=False)
