"""What the control plane takes while nothing happens: CPU and memory, with one model served."""

import time

import psutil

from bench.instance import Instance
from bench.report import figure

WINDOWS = 5
WINDOW_S = 12.0


def main() -> None:
    """Measure and report."""
    with Instance() as instance:
        instance.up()
        control = psutil.Process(int(instance.status()["pid"]))
        time.sleep(3)  # what happens after a start is not idle
        shares: list[float] = []
        sizes: list[float] = []
        for _ in range(WINDOWS):
            before = _cpu_seconds(control)
            time.sleep(WINDOW_S)
            shares.append(100 * (_cpu_seconds(control) - before) / WINDOW_S)
            sizes.append(control.memory_info().rss / 1e6)
    figure("control plane idle, CPU", shares, unit="% of a core", at_most=0.5)
    figure("control plane idle, resident memory", sizes, unit="MB", at_most=120)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
