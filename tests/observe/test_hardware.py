"""What a machine has and uses: what no sensor says is unknown, and rates are between two measurements."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bateau.observe.hardware import HardwareMeter

SMI = """\
#!/bin/sh
case "$*" in *--query-gpu=name,memory.total,memory.used,utilization.gpu,power.draw*) ;; *) exit 2 ;; esac
echo 'NVIDIA H200, 143771, 1024, 37, 312.50'
echo 'Broken, [N/A], [N/A], [N/A], [Unknown Error]'
echo 'a line of another form'
"""


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_what_no_sensor_says_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/cpuinfo": ""})
    meter = HardwareMeter({"models": tmp_path / "not" / "there"}, root=tmp_path)
    for _ in range(2):
        found = meter.measure([1])
        assert (found.processor, found.cores_used, found.memory_bytes_available) == (None, None, None)
        assert (found.power_w, found.accelerators, found.cores_by_session) == (None, (), {1: None})
    (disk,) = meter.measure([1]).disks
    assert 0 < disk.bytes_free <= disk.bytes_total


def test_cores_and_power_are_means_between_two_measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    rapl = "sys/class/powercap"
    before = {
        "proc/stat": "cpu  1000 0 500 9000 100 0 0 0 0 0\ncpu0 1 1 1 1\n",
        "proc/7/stat": f"7 (a ) b) S 1 7 7 {'0 ' * 7}100 50 0 0 0\n",
        "proc/8/stat": f"8 (child) S 7 7 7 {'0 ' * 7}100 0 0 0 0\n",
        f"{rapl}/intel-rapl:0/energy_uj": "5000000\n",
        f"{rapl}/intel-rapl:0:1/energy_uj": "1\n",
        "proc/meminfo": "MemTotal: 2048 kB\nMemAvailable: 1024 kB\n",
    }
    write(tmp_path, **before)
    meter = HardwareMeter({}, root=tmp_path)
    first = meter.measure([7])
    assert (first.cores_used, first.power_w, first.cores_by_session) == (None, None, {7: None})
    assert first.memory_bytes_available == 2**20
    ticks = os.sysconf("SC_CLK_TCK")
    now[0] += 10
    write(
        tmp_path,
        **{
            "proc/stat": f"cpu  {1000 + 15 * ticks} 0 500 9500 200 0 0 0 0 0\n",
            "proc/7/stat": f"7 (a ) b) S 1 7 7 {'0 ' * 7}{100 + 4 * ticks} 50 0 0 0\n",
            "proc/8/stat": f"8 (child) S 7 7 7 {'0 ' * 7}{100 + ticks} 0 0 0 0\n",
            f"{rapl}/intel-rapl:0/energy_uj": "425000000\n",
        },
    )
    second = meter.measure([7])
    assert (second.cores_used, second.power_w, second.cores_by_session) == (1.5, 42.0, {7: 0.5})
    now[0] += 10
    write(tmp_path, **{f"{rapl}/intel-rapl:0/energy_uj": "1000\n"})
    assert meter.measure([7]).power_w is None, "the counter has begun again"


def test_accelerators_are_those_of_the_drivers(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    card = "sys/class/drm/card0/device"
    write(
        tmp_path,
        **{
            "proc/stat": "",
            f"{card}/mem_info_vram_total": "1024\n",
            f"{card}/mem_info_vram_used": "256\n",
            f"{card}/gpu_busy_percent": "50\n",
            f"{card}/hwmon/hwmon3/power1_average": "7000000\n",
            "sys/class/drm/card1/device/vendor": "0x8086\n",
        },
    )
    h200, broken, amd = HardwareMeter({}, root=tmp_path).measure([]).accelerators
    assert (h200.name, h200.memory_bytes_total, h200.use, h200.power_w) == ("NVIDIA H200", 143771 * 2**20, 0.37, 312.5)
    assert (broken.memory_bytes_total, broken.memory_bytes_used, broken.use, broken.power_w) == (None, None, None, None)
    assert (amd.name, amd.memory_bytes_used, amd.use, amd.power_w) == ("AMD GPU", 256, 0.5, 7.0)


def test_the_cores_of_a_real_session_are_measured() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        try:
            meter = HardwareMeter({"this": Path("/")})
            meter.measure([process.pid])
            time.sleep(1.0)
            found = meter.measure([process.pid]).cores_by_session[process.pid]
            assert found is not None
            assert 0 < found <= 1.2, "its child is in the session, and uses at most a core"
        finally:
            os.killpg(process.pid, 9)
