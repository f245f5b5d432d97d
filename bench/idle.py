"""What the control plane takes while nothing happens: CPU, wake-ups and memory, with one model served."""

import contextlib
import http.client
import threading
import time
from collections.abc import Generator
from pathlib import Path

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
        sizes = _measure(control, "control plane idle", at_most=0.5)
        figure("control plane idle, resident memory", sizes, unit="MB", at_most=120)
        with _open_page(instance):
            time.sleep(3)
            _measure(control, "control plane idle, with a page of the dashboard open", at_most=1.0)


def _measure(control: psutil.Process, claim: str, *, at_most: float) -> list[float]:
    """Report the CPU and the wake-ups; return the sizes of the memory."""
    shares, wakes, sizes = list[float](), list[float](), list[float]()
    for _ in range(WINDOWS):
        before, woken = _cpu_seconds(control), _wake_ups(control)
        time.sleep(WINDOW_S)
        shares.append(100 * (_cpu_seconds(control) - before) / WINDOW_S)
        wakes.append((_wake_ups(control) - woken) / WINDOW_S)
        sizes.append(control.memory_info().rss / 1e6)
    figure(f"{claim}, CPU", shares, unit="% of a core", at_most=at_most)
    figure(f"{claim}, wake-ups of all its threads", wakes, unit="/s")
    return sizes


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _wake_ups(process: psutil.Process) -> int:
    """Return how often a thread has waited and was woken."""
    found = 0
    for each in Path(f"/proc/{process.pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            lines = (each / "status").read_text().splitlines()
            found += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))
    return found


@contextlib.contextmanager
def _open_page(instance: Instance) -> Generator[None]:
    """Follow the overview as a browser does."""
    link = instance.bateau("open").strip()
    gateway = http.client.HTTPConnection("127.0.0.1", instance.port)
    gateway.request("GET", link.partition(f":{instance.port}")[2])
    signed_in = gateway.getresponse()
    signed_in.read()
    cookie = {"cookie": (signed_in.getheader("set-cookie") or "").partition(";")[0]}
    gateway.request("GET", "/ui/", headers=cookie)
    have = gateway.getresponse().read().decode().partition('data-have="')[2].partition('"')[0]
    gateway.request("GET", f"/ui/live?path=/&have={have}", headers=cookie)
    stream = gateway.getresponse()

    def follow() -> None:
        # AttributeError: http.client reads on from a connection that was closed meanwhile.
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
            while stream.read1(65536):
                pass

    threading.Thread(target=follow, daemon=True).start()
    try:
        yield
    finally:
        gateway.close()


if __name__ == "__main__":
    main()
