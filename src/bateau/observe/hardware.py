"""Measure what this machine has and uses: processors, memory, accelerators, disks and power.

Called by wiring.machine_reports.
Sources: proc(5); the kernel's documentation of powercap (`energy_uj`) and of amdgpu (`mem_info_vram_total`);
`nvidia-smi --help-query-gpu`.

Invariant: what no sensor says is None, and never 0. Held by
tests/observe/test_hardware.py::test_what_no_sensor_says_is_unknown.
"""

import csv
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Final

from bateau.domain.machine_report import Accelerator, Disk, Hardware

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_SESSION: Final = 3  # of the fields of stat behind the name: the session, and the ticks of the process and its children
_TICKS: Final = slice(11, 15)
_MIB: Final = 2**20
_NVIDIA_S: Final = 5.0
_NVIDIA_FIELDS: Final = ("name", "memory.total", "memory.used", "utilization.gpu", "power.draw")


class HardwareMeter:
    """Measures one machine, again and again. `root` is the root of its file system; `disks` are directories by use."""

    def __init__(self, disks: Mapping[str, Path], *, root: Path = Path("/")) -> None:
        self._disks = disks
        self._proc, self._sys = root / "proc", root / "sys"
        self._before: tuple[float, Mapping[int, float], float | None, float | None] | None = None

    def measure(self, pids: Iterable[int]) -> Hardware:
        """Return what the machine has and uses, and the cores that the sessions of processes use. It blocks."""
        wanted = set(pids)
        now, used, busy, joules = time.monotonic(), self._seconds(wanted), self._busy_s(), self._joules()
        before, self._before = self._before, (now, used, busy, joules)
        cores: dict[int, float | None] = dict.fromkeys(wanted)
        cores_used = power = None
        if before and now > before[0]:
            over = now - before[0]
            cores |= {pid: _rate(before[1].get(pid), used.get(pid), over) for pid in wanted}
            cores_used, power = _rate(before[2], busy, over), _rate(before[3], joules, over)
        return Hardware(
            processor=self._processor(),
            cores_used=cores_used,
            memory_bytes_available=self._available(),
            accelerators=(*_nvidia(), *self._amd()),
            disks=tuple(_disks(self._disks)),
            power_w=power,
            cores_by_session=cores,
        )

    def _seconds(self, pids: set[int]) -> Mapping[int, float]:
        """Return the seconds of all processes in the session that each process leads."""
        found = dict[int, float]()
        for entry in os.scandir(self._proc) if pids else ():
            text = _text(self._proc / entry.name / "stat") if entry.name.isdecimal() else ""
            fields = text.rpartition(")")[2].split()
            with suppress(IndexError, ValueError):
                if (session := int(fields[_SESSION])) in pids:
                    found[session] = found.get(session, 0.0) + sum(map(int, fields[_TICKS])) / _TICKS_PER_S
        return found

    def _busy_s(self) -> float | None:
        line = next((each for each in _text(self._proc / "stat").splitlines() if each.startswith("cpu ")), "")
        with suppress(ValueError, IndexError):
            user, nice, system, idle, waits, *more = map(int, line.split()[1:9])
            del idle, waits
            return (user + nice + system + sum(more)) / _TICKS_PER_S
        return None

    def _joules(self) -> float | None:
        """Return the energy that the processors have used. Its counter begins again from time to time."""
        zones = self._sys.glob("class/powercap/intel-rapl:[0-9]*")
        packages = [zone for zone in zones if ":" not in zone.name.partition(":")[2]]
        texts = [_text(zone / "energy_uj").strip() for zone in packages]
        if not texts or not all(text.isdecimal() for text in texts):
            return None
        return sum(map(int, texts)) / 1e6

    def _available(self) -> int | None:
        for line in _text(self._proc / "meminfo").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                with suppress(ValueError, IndexError):
                    return int(value.split()[0]) * 1024
        return None

    def _processor(self) -> str | None:
        for line in _text(self._proc / "cpuinfo").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip() or None
        return None

    def _amd(self) -> Iterator[Accelerator]:
        for device in sorted(self._sys.glob("class/drm/card[0-9]*/device")):
            total = _number(_text(device / "mem_info_vram_total"))
            if total is None:
                continue
            busy = _number(_text(device / "gpu_busy_percent"))
            yield Accelerator(
                name=_text(device / "product_name").strip() or "AMD GPU",
                memory_bytes_total=int(total),
                memory_bytes_used=_whole(_number(_text(device / "mem_info_vram_used")), 1),
                use=None if busy is None else busy / 100,
                power_w=next(_watts(device), None),
            )


def _watts(device: Path) -> Iterator[float]:
    for path in device.glob("hwmon/hwmon*/power1_average"):
        if (value := _number(_text(path))) is not None:
            yield value / 1e6


def _nvidia() -> Iterator[Accelerator]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return
    query = f"--query-gpu={','.join(_NVIDIA_FIELDS)}"
    try:
        done = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_NVIDIA_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    for row in csv.reader(done.stdout.splitlines() if done.returncode == 0 else ()):
        if len(row) == len(_NVIDIA_FIELDS):
            name, total, used, use, power = (each.strip() for each in row)
            share = _number(use)
            yield Accelerator(
                name=name,
                memory_bytes_total=_whole(_number(total), _MIB),
                memory_bytes_used=_whole(_number(used), _MIB),
                use=None if share is None else share / 100,
                power_w=_number(power),
            )


def _disks(found: Mapping[str, Path]) -> Iterator[Disk]:
    by_device = dict[int, tuple[list[str], Path]]()
    for holds, path in found.items():
        there = next((each for each in (path, *path.parents) if each.exists()), None)
        if there:
            by_device.setdefault(there.stat().st_dev, ([], there))[0].append(holds)
    for names, path in by_device.values():
        with suppress(OSError):
            about = shutil.disk_usage(path)
            yield Disk(holds=", ".join(names), bytes_total=about.total, bytes_free=about.free)


def _rate(before: float | None, after: float | None, seconds: float) -> float | None:
    if before is None or after is None or after < before:
        return None
    return (after - before) / seconds


def _number(text: str) -> float | None:
    with suppress(ValueError):
        return value if isfinite(value := float(text)) else None
    return None


def _whole(number: float | None, unit: int) -> int | None:
    return None if number is None else int(number * unit)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
