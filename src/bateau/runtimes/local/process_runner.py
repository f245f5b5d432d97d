"""Run replicas as processes of this machine, each in a session of its own, limited by cgroups where possible.

Called by runtimes.local.keeper. It satisfies runner.Runner.

Invariant: a process is adopted only when its boot, its start in clock ticks and its marks all agree with the record.
Held by tests/runtimes/test_adoption.py.
Refused: trusting pid files; if the kernel has reused a pid, Bateau would watch, and kill, a process of another program.
"""

import signal
from collections.abc import Collection
from pathlib import Path

from bateau.kit.quantity import format_bytes
from bateau.runtimes.local.ending import Kin, end
from bateau.runtimes.local.instance import Instance
from bateau.runtimes.local.launch import launch
from bateau.runtimes.local.limits import ENFORCED, Cgroups, Leaf
from bateau.runtimes.local.process import MARK_INSTANCE, MARK_REPLICA, Process, boot_id, marks_of, stat_of
from bateau.runtimes.local.records import Record
from bateau.runtimes.local.runner import Ended, Launched, Running
from bateau.runtimes.local.scans import Scan, Scans

_GONE = Ended("exited while no control plane ran")


class ProcessRunner:
    """Satisfies `Runner`. Without `cgroups`, limits are enforced in the cgroup of the control plane."""

    name = "process"

    def __init__(self, instance: Instance, cgroups: Cgroups | None = None) -> None:
        self._instance = instance
        self._cgroups = cgroups or Cgroups()
        self._scans = Scans()

    def launch(self, record: Record) -> Launched:
        """Start the process of a record."""
        process, record, limits = launch(self._instance, self._cgroups, record)
        return Launched(RunningProcess(process, self._kin(record, process)), record, limits)

    def find(self, record: Record) -> Running | Ended:
        """Return the process of a record if it is running."""
        known = record.process
        if known is None:
            return Ended("had not been started", at_once=True)
        if known.boot_id != boot_id():
            return Ended("the machine was restarted", at_once=True)
        process = Process.open(known.pid, start_ticks=known.start_ticks)
        if process is None:
            return _GONE
        marks = marks_of(known.pid)
        stat = stat_of(known.pid)
        if stat is None or stat.ended:
            process.close(reap=True)
            return _GONE
        if marks is None:
            # The program has overwritten its environment to set its title. No other process can lead a session with
            # this number that started at this very tick of this boot.
            is_own = stat.session == known.pid
        else:
            is_own = marks.get(MARK_INSTANCE) == self._instance.name and marks.get(MARK_REPLICA) == record.id
        if not is_own:
            process.close(reap=False)
            return _GONE
        return RunningProcess(process, self._kin(record, process))

    def running_ids(self) -> Collection[str]:
        """Return the ids of all replicas with a process that carries the marks of this instance."""
        return Scan.now().replica_ids(self._instance.name)

    async def end_rest(self, replica_id: str, *, stop_timeout_s: float, stop_signal: signal.Signals) -> None:
        """Stop every process with the marks of a replica."""
        kin = Kin(self._instance.name, replica_id, self._scans)
        await end(None, kin, stop_timeout_s=stop_timeout_s, stop_signal=stop_signal)

    def limits(self, record: Record) -> str | None:
        """Return how the limits of an adopted process are enforced."""
        if record.cgroup is not None:
            return ENFORCED
        wanted = record.template.resources
        return "not enforced: the process was started without a cgroup" if wanted.memory or wanted.cpu else None

    def clean_up(self, record: Record) -> str:
        """Remove the cgroup of an ended replica; report whether the kernel has killed in it."""
        if record.cgroup is None:
            return ""
        leaf = Leaf(Path(record.cgroup))
        kills = leaf.oom_kills()
        leaf.remove()
        limit = record.template.resources.memory
        return "" if not kills else ": out of memory" + (f", its limit is {format_bytes(limit)}" if limit else "")

    def _kin(self, record: Record, process: Process) -> Kin:
        return Kin(self._instance.name, record.id, self._scans, process.pid, process.start_ticks)


class RunningProcess:
    """A process that leads a session, and the other processes of its replica. Satisfies `Running`."""

    def __init__(self, process: Process, kin: Kin) -> None:
        self._process = process
        self._kin = kin

    @property
    def pid(self) -> int:
        """The pid of the leader."""
        return self._process.pid

    @property
    def exited(self) -> bool:
        """Whether the leader has ended, as far as the event loop knows."""
        return self._process.exited

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the leader."""
        return await self._process.wait(timeout_s)

    def exit_text(self) -> str:
        """Return how the leader ended."""
        return self._process.exit_text()

    async def end(self, *, stop_timeout_s: float, stop_signal: signal.Signals) -> int:
        """Stop the leader, its session and every process with the marks of the replica."""
        return await end(self._process, self._kin, stop_timeout_s=stop_timeout_s, stop_signal=stop_signal)

    def kill(self) -> None:
        """Send SIGKILL to the leader and its process group."""
        self._process.send_to_group(signal.SIGKILL)

    async def cpu_s(self) -> float:
        """Return the CPU seconds of all processes of the replica."""
        return await self._kin.cpu_s()

    def close(self, *, reap: bool) -> None:
        """Release the pidfd of the leader."""
        self._process.close(reap=reap)
