"""Load from wrk (Debian package `wrk`) on one port, and the CPU time of the proxy that listens there.

Used by bench.chain.
"""

import contextlib
import math
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True)
class Load:
    """How to ask: a script that has the request, connections that ask at the same time, and for how many seconds."""

    script: Path
    connections: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Round:
    """Requests, how many a second, their latencies, and the CPU time of the proxy during them in seconds."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_s: float


def ask(port: int, load: Load, proxy: psutil.Process | None) -> Round:
    """Send requests for a while. All of them must be answered with a status of 2xx."""
    before = cpu_s(proxy)
    out = subprocess.run(
        [
            *("wrk", "-t1", f"-c{load.connections}", f"-d{math.ceil(load.seconds)}s", "--timeout", "30s", "--latency"),
            *("-s", str(load.script), f"http://127.0.0.1:{port}/v1/chat/completions"),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    spent = cpu_s(proxy) - before
    assert "Non-2xx" not in out, out
    return Round(
        requests=int(re.findall(r"(\d+) requests in", out)[0]),
        rate=float(re.findall(r"Requests/sec:\s+([\d.]+)", out)[0]),
        p50_ms=_milliseconds(out, "50%"),
        p99_ms=_milliseconds(out, "99%"),
        cpu_s=spent,
    )


def cpu_s(process: psutil.Process | None) -> float:
    """Return the CPU time that a process and its children have used; 0 for None.

    Linux counts it in ticks of 10 ms for everyone who reads /proc. The clock of a process counts nanoseconds.
    """
    spent = 0.0
    for each in () if process is None else (process, *process.children(recursive=True)):
        with contextlib.suppress(OSError):  # it has ended
            spent += time.clock_gettime((~each.pid << 3) | 2)  # see clock_getcpuclockid(3)
    return spent


def _milliseconds(out: str, percentile: str) -> float:
    value, unit = re.findall(rf"{percentile}\s+([\d.]+)(us|ms|s)", out)[0]
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
