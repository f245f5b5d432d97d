"""Measure the CPU time of processes, each with all that it has started.

Called by wiring.figures and wiring.sampling. A replica has a session of its own, so its processes are those of that
session. Source: proc(5), `/proc/pid/stat`: utime, stime, and those of children that have ended, in clock ticks.

Invariant: CPU time that cannot be read is None, and never 0. Held by
tests/observe/test_cpu.py::test_cpu_time_that_cannot_be_read_is_unknown.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
# Fields of stat, counted behind the name: the session, and the four times.
_SESSION: Final = 3
_TIMES: Final = slice(11, 15)


def cpu_by_session(pids: Iterable[int]) -> Mapping[int, float | None]:
    """Return the seconds of CPU time by pid: those of all processes in its session; None if that is not known."""
    own = {pid: _read(pid) for pid in pids}
    sessions = {pid: found[0] for pid, found in own.items() if found}
    wanted, seconds = set(sessions.values()), dict.fromkeys(sessions.values(), 0.0)
    for entry in os.scandir(_PROC) if wanted else ():
        found = _read(int(entry.name)) if entry.name.isdecimal() else None
        if found and found[0] in wanted:
            seconds[found[0]] += found[1]
    return {pid: seconds[sessions[pid]] if pid in sessions else None for pid in own}


def _read(pid: int) -> tuple[int, float] | None:
    """Return the session of a process and its seconds of CPU time; None if it has ended or cannot be read."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[_SESSION]), sum(map(int, fields[_TIMES])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None
