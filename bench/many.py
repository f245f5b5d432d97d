"""A control plane with 1,000 apps: a save, an idle turn, the status stream, and the probe of a replica meanwhile."""

import contextlib
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil

from bateau.api.client import ApiClient
from bateau.api.trees import StatusTree
from bateau.domain.errors import ControlError
from bateau.wiring.listen import free_port
from bateau.wiring.paths import paths
from bench.instance import Instance
from bench.report import figure

APPS = 1000
SAVES = 7
PROBE_INTERVAL_S = 0.5
WINDOW_S = 20.0
READERS = 20

APP = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {{name: app-{number:04}}}
spec:
  command: [sleep, infinity]
  env: {{CHANGE: "{change}"}}
"""
# Writes the time of every probe, so that a missed one is a gap.
PROBED = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {{name: probed}}
spec:
  command: [python3, server.py, "${{ ports.http }}"]
  ports: {{http: {{port: {port}}}}}
  health: {{path: /, interval: {interval}s}}
"""
SERVER = """\
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("probe", time.monotonic(), flush=True)
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def main() -> None:
    """Measure and report."""
    with Instance(dict(_specs())) as instance:
        instance.up()
        client = ApiClient(paths("default", instance.environ).control_socket, instance="default")
        status = _settled(client)
        control = psutil.Process(int(status["pid"]))
        time.sleep(5)  # what happens after a start is not idle
        turns = _turns(instance)
        alone = _idle_share(control)
        idle_turn = _turn_ms(turns, _turns(instance))
        readers = [threading.Thread(target=_read, args=(client,), daemon=True) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        time.sleep(2)
        number = client.status()["number"]
        watched = _idle_share(control)
        sent = client.status()["number"] - number
        figure(f"{APPS} apps, one turn of an idle loop", [idle_turn], unit="ms", at_most=50)
        figure(f"{APPS} apps, snapshots of the status while nothing changes", [sent], unit="in a minute", at_most=0)
        figure(f"{APPS} apps, idle control plane, CPU", alone, unit="% of a core")
        figure(
            f"{APPS} apps, idle control plane with {READERS} readers of the status stream, CPU",
            watched,
            unit="% of a core",
        )
        began = time.monotonic()
        turns = _turns(instance)
        saves = [_save(client, instance.base / "specs", change) for change in range(1, SAVES + 1)]
        busy_turn = _turn_ms(turns, _turns(instance))
        figure(f"{APPS} apps, from a save to the new replica being ready", saves, unit="s")
        figure(f"{APPS} apps, one turn of the loop while saves are followed", [busy_turn], unit="ms")
        figure(
            f"{APPS} apps, longest time between two probes every {PROBE_INTERVAL_S} s while saves are followed",
            [_longest_gap(instance, since=began)],
            unit="s",
            at_most=2 * PROBE_INTERVAL_S,
        )


def _specs() -> Iterator[tuple[str, str]]:
    for number in range(APPS):
        yield f"app-{number:04}.yaml", APP.format(number=number, change=0)
    yield "probed.yaml", PROBED.format(port=free_port(), interval=PROBE_INTERVAL_S)
    yield "server.py", SERVER


def _settled(client: ApiClient) -> StatusTree:
    status = client.status()
    while not (status["settled"] and status["rolledOut"]):
        status = client.status(after=status["number"], wait_s=60)
    return status


def _read(client: ApiClient) -> None:
    number = 0
    with contextlib.suppress(ControlError):  # until the instance is down
        while True:
            number = client.status(after=number, wait_s=600)["number"]


def _idle_share(control: psutil.Process) -> list[float]:
    shares: list[float] = []
    for _ in range(3):
        before = sum(control.cpu_times()[:2])
        time.sleep(WINDOW_S)
        shares.append(100 * (sum(control.cpu_times()[:2]) - before) / WINDOW_S)
    return shares


def _save(client: ApiClient, specs: Path, change: int) -> float:
    """Save one app; return the seconds until the status shows the replica of the new revision, ready."""
    number = 10 * change
    key = f"app/app-{number:04}"
    before = _revision(client.status(), key)
    started = time.perf_counter()
    (specs / f"app-{number:04}.yaml").write_text(APP.format(number=number, change=change))
    status = client.status()
    while not (_revision(status, key) != before and status["rolledOut"]):
        status = client.status(after=status["number"], wait_s=60)
    return time.perf_counter() - started


def _revision(status: StatusTree, key: str) -> list[str]:
    (service,) = (each for each in status["services"] if each["service"] == key)
    return [each["revision"] for each in service["replicas"] if not each["draining"]]


def _turns(instance: Instance) -> tuple[float, float]:
    """Return how many turns the loop has taken, and the seconds that they took."""
    with urllib.request.urlopen(f"http://127.0.0.1:{instance.port}/metrics") as response:
        page = response.read().decode()
    names = ("bateau_control_turns_total", "bateau_control_turn_seconds_total")
    turns, seconds = (float(re.findall(rf"^{name} (\S+)$", page, re.MULTILINE)[0]) for name in names)
    return turns, seconds


def _turn_ms(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Return the mean time of a turn between two results of `_turns`, in milliseconds."""
    (turns, seconds), (turns_then, seconds_then) = before, after
    return 1000 * (seconds_then - seconds) / (turns_then - turns)


def _longest_gap(instance: Instance, *, since: float) -> float:
    """Return the longest time between two probes of the probed app, in seconds."""
    lines = instance.bateau("logs", "probed", "-n", "100000").splitlines()
    times = [float(line.split()[-1]) for line in lines if "probe " in line]
    return max(after - before for before, after in pairwise(each for each in times if each >= since))


if __name__ == "__main__":
    main()
