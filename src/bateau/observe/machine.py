"""Measure this machine: the cores, memory and engines that this process may use.

Called by wiring.local.
Source: cgroup v2 `memory.max` and `cpu.max` (kernel documentation, admin-guide/cgroup-v2).
"""

import os
import shutil
from pathlib import Path

import psutil

from bateau.domain.inventory import Machine

_ENGINES = ("vllm", "ollama")
_V2 = Path("/sys/fs/cgroup")
_V1_LIMIT = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine(*, memory_bytes_max: int | None = None) -> Machine:
    """Return the current cores, memory and engines; of the memory, no more than a maximum."""
    limits = [psutil.virtual_memory().total, _memory_limit(), memory_bytes_max]
    total = min(limit for limit in limits if limit)
    programs = {name: path for name in _ENGINES if (path := shutil.which(name))}
    return Machine(cores=_cores(), memory_bytes_total=total, programs=programs)


def _cores() -> int:
    allowed = len(os.sched_getaffinity(0))
    quota = _words(_V2 / "cpu.max")
    if len(quota) == 2 and quota[0].isdigit():  # noqa: PLR2004 - "quota period"
        return max(1, min(allowed, round(int(quota[0]) / int(quota[1]))))
    return allowed


def _memory_limit() -> int | None:
    for path in (_V2 / "memory.max", _V1_LIMIT):
        words = _words(path)
        if words and words[0].isdigit():
            return int(words[0])
    return None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
