"""Identify processes, find Bateau's own, and wait for their end, with the interfaces of the kernel.

Called by runtimes.local and wiring.usage. See proc(5) for /proc/PID/stat, pidfd_open(2), waitid(2).

Invariant: no signal goes to a bare pid. It goes through a pidfd whose process was checked after the pidfd was opened,
or to the process group of a leader that is not reaped yet. So a signal never hits a reused pid. Held by
tests/runtimes/test_adoption.py::test_a_reused_pid_is_neither_adopted_nor_ended.
Refused: psutil; it compares start times by the wall clock, and knows neither sessions nor pidfds.
"""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bateau.domain.errors import ReplicaError

MARK_INSTANCE = "BATEAU_INSTANCE"
MARK_REPLICA = "BATEAU_REPLICA"
MARK_REVISION = "BATEAU_REVISION"
MARKS = (MARK_INSTANCE, MARK_REPLICA, MARK_REVISION)
_STAT_BYTES_MAX = 4096  # 52 numbers and a name of up to 64 bytes


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that are used here.

    `start_ticks` are the clock ticks from boot to the start of the process. `cpu_ticks` are the ticks of CPU time used
    by the process and by the children that it has waited for.
    """

    pid: int
    condition: str
    parent: int
    group: int
    session: int
    start_ticks: int
    cpu_ticks: int = 0

    @property
    def ended(self) -> bool:
        """Whether the process no longer runs. A zombie only waits to be reaped, and holds no resources."""
        return self.condition in "ZX"


@cache
def boot_id() -> str:
    """Return the id of the current boot. Start ticks cannot be compared across boots."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def stat_of(pid: int) -> Stat | None:
    """Return the state of a process, or None if it does not exist."""
    try:
        # A scan reads this file of every process, and a Path costs more than the reading.
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, _STAT_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # The name is in parentheses and may itself contain spaces and parentheses, so count from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    cpu_ticks = sum(map(int, fields[11:15]))
    return Stat(pid, fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), cpu_ticks)


def marks_of(pid: int) -> Mapping[str, str] | None:
    """Return Bateau's marks in the initial environment of a process, or None if the process has overwritten it.

    Programs that set their title overwrite it (nginx, PostgreSQL, setproctitle). Processes of others have no marks.
    """
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = [entry.partition(b"=") for entry in raw.split(b"\0")]
    if raw and not any(name and equals for name, equals, _ in pairs):
        return None
    found = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, _, value in pairs}
    return {name: found[name] for name in MARKS if name in found}


def every_process() -> Iterator[Stat]:
    """Yield all running processes except this one and zombies."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path for each of a thousand processes costs more than the scan
        if name.isdecimal() and int(name) != os.getpid():
            stat = stat_of(int(name))
            if stat is not None and not stat.ended:
                yield stat


class Process:
    """A running process, held by a pidfd, which reports its end at once, whether it is a child or was adopted."""

    def __init__(self, stat: Stat, pidfd: int) -> None:
        self.pid = stat.pid
        self.start_ticks = stat.start_ticks
        self._pidfd = pidfd
        self._exited = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pidfd, self._on_exit)

    @classmethod
    def open(cls, pid: int, *, start_ticks: int | None = None) -> "Process | None":
        """Hold the process with this pid. Return None if it has ended, or if other start ticks show a reused pid.

        Raises ReplicaError if the kernel reports neither, so that it is unknown whether the process runs.
        """
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        except OSError as error:  # too many open files, or a sandbox: it is unknown whether the process runs
            raise ReplicaError(
                f"process {pid} cannot be watched: {error.strerror}",
                hint="raise the limit of open files (ulimit -n), or allow pidfd_open(2) in the sandbox",
            ) from error
        # The order matters: stat belongs to the process behind the pidfd only if it is read after the pidfd is opened,
        # while that process still runs.
        stat = stat_of(pid)
        if stat is None or (start_ticks is not None and stat.start_ticks != start_ticks):
            os.close(pidfd)
            return None
        return cls(stat, pidfd)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._exited.set()

    @property
    def exited(self) -> bool:
        """Whether the process has ended, as far as the event loop knows."""
        return self._exited.is_set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the process ends, at most `timeout_s` seconds. Return whether it has ended."""
        if not self._exited.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._exited.wait()
        return self._exited.is_set()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to exactly this process. If it has ended, do nothing."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._pidfd, number)

    def send_to_group(self, number: signal.Signals) -> None:
        """Send a signal to the group that this process leads. If the leader has ended, do nothing."""
        # A busy event loop may not know of the end yet, so ask the kernel.
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if poll.poll(0):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def exit_text(self) -> str:
        """Return a text that says how the process ended. It is not reaped, so its pid is not reused until `close`."""
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return "exited (code unknown: adopted)"
        if result is None:
            return "runs"
        if result.si_code == os.CLD_EXITED:
            return f"exited with code {result.si_status}"
        try:
            name = signal.Signals(result.si_status).name
        except ValueError:
            name = "a real-time signal"
        return f"killed by signal {result.si_status} ({name})"

    def close(self, *, reap: bool) -> None:
        """Close the pidfd. `reap` also removes a child that has ended from the process table."""
        self._loop.remove_reader(self._pidfd)
        if reap:
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        os.close(self._pidfd)
