"""Measure the CPU time and the memory of processes, each with all that it has started, in one look at /proc.

Called by wiring.figures and wiring.sampling. A replica has a session of its own, so its processes are those of that
session. Source: proc(5). `/proc/pid/stat` has utime, stime, and those of children that have ended, in clock ticks;
`/proc/pid/smaps_rollup` has `Pss`, which counts a page that several processes share, such as one of a model's file, in
equal parts.

Invariant: a value that cannot be read is None, and never 0. Held by
tests/observe/test_sessions.py::test_a_value_that_cannot_be_read_is_unknown.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PSS: Final = "Pss:"
# Fields of stat, counted behind the name: the session, and the four times.
_SESSION: Final = 3
_TIMES: Final = slice(11, 15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What the processes of a session use: seconds of CPU time so far, and bytes of memory. None: it is not known."""

    cpu_s: float | None = None
    memory_bytes: int | None = None


def use_by_session(pids: Iterable[int], *, memory: bool = True) -> Mapping[int, Use]:
    """Return the use by pid: that of all processes in its session. `memory=False` leaves the memory unknown.

    Memory costs much more to read than CPU time: the kernel walks through all pages of a process.
    """
    own = {pid: _stat(pid) for pid in pids}
    sessions = {pid: stat[0] for pid, stat in own.items() if stat}
    seconds = dict.fromkeys(sessions.values(), 0.0)
    sizes: dict[int, int | None] = dict.fromkeys(sessions.values(), 0 if memory else None)
    for entry in os.scandir(_PROC) if seconds else ():
        stat = _stat(int(entry.name)) if entry.name.isdecimal() else None
        if stat is None or stat[0] not in seconds:
            continue
        session, cpu_s = stat
        seconds[session] += cpu_s
        if (before := sizes[session]) is not None:
            more = _pss(int(entry.name))
            sizes[session] = None if more is None else before + more
    return {
        pid: Use(cpu_s=seconds[session], memory_bytes=sizes[session])
        if (session := sessions.get(pid)) is not None
        else Use()
        for pid in own
    }


def _stat(pid: int) -> tuple[int, float] | None:
    """Return the session of a process and its seconds of CPU time; None if it has ended or cannot be read."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[_SESSION]), sum(map(int, fields[_TIMES])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def _pss(pid: int) -> int | None:
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended since /proc was listed
    except OSError:
        return None
    line = next((each for each in text.splitlines() if each.startswith(_PSS)), None)
    return int(line.split()[1]) * 1024 if line else None
