"""Measure the memory of processes, each with all that it has started.

Called by wiring.figures and wiring.sampling. A replica has a session of its own, so its processes are those of that
session. Source: proc(5), `/proc/pid/stat` and `/proc/pid/smaps_rollup`. `Pss` counts a page that several processes
share, such as one of a model's file, in equal parts.

Invariant: memory that cannot be read is None, and never 0. Held by
tests/observe/test_memory.py::test_memory_that_cannot_be_read_is_unknown.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PSS: Final = "Pss:"
_SESSION: Final = 3  # the field of stat, behind the name and the state


def memory_by_session(pids: Iterable[int]) -> Mapping[int, int | None]:
    """Return the bytes of memory by pid: those of all processes in its session; None if that is not known."""
    sessions = {pid: _session(pid) for pid in pids}
    wanted = {session for session in sessions.values() if session is not None}
    found: dict[int, int | None] = {}
    for entry in os.scandir(_PROC) if wanted else ():
        session = _session(int(entry.name)) if entry.name.isdecimal() else None
        if session in wanted:
            before, more = found.get(session, 0), _pss(int(entry.name))
            found[session] = None if before is None or more is None else before + more
    return {pid: None if session is None else found.get(session) for pid, session in sessions.items()}


def _session(pid: int) -> int | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[_SESSION])
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
