"""The history of measures: the size of a week of 200 services at one point each 15 seconds, and what it costs.

The time is simulated. Every second service has traffic in one run, and all have it in the other, with values that are
random and so compress badly: real traffic is smaller. Totals are those that alerts ask for each time.
"""

import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bateau.domain.measures import ANSWERS, INTERVAL_S, MEASURES, REQUESTS, SERVER_ERRORS, SLOW
from bateau.store.measure_writer import MeasureWriter
from bench.extent import Extent, extent
from bench.report import figure

FULL, TRIAL = Extent(rounds=1, seconds=7 * 86_400), Extent(rounds=1, seconds=86_400 / 4)
SERVICES = 200
WINDOWS_S = (300, 1800, 3600, 7200, 21_600, 86_400, 3 * 86_400)
BEGIN = 1_790_000_000 // 3600 * 3600.0
BATCH = 40


class Traffic:
    """What services do, at random: `busy` of them have traffic."""

    def __init__(self, busy: int) -> None:
        self._chance = random.Random(5)  # noqa: S311 - each run needs the same values
        self._memory = {f"model/service-{number}": float(2**30) for number in range(SERVICES)}
        self._busy = set(list(self._memory)[:busy])

    def point(self) -> Mapping[str, Mapping[str, float]]:
        """Return the values of all services at one time."""
        return {service: self._row(service) for service in self._memory}

    def _row(self, service: str) -> Mapping[str, float]:
        chance = self._chance
        idle = dict.fromkeys((each.name for each in MEASURES if each.name != "latency_p95"), 0.0)
        idle |= {"replicas_wanted": 1.0, "replicas_ready": 1.0, "memory": self._memory[service]}
        idle["cpu"] = chance.randrange(3) / 100
        if service not in self._busy:
            return idle
        self._memory[service] += 4096.0 * chance.randrange(-250, 250)
        requests = float(int(chance.expovariate(1 / 40)))
        return idle | {
            "requests": requests,
            "client_errors": float(chance.random() < 0.1),
            "server_errors": float(chance.random() < 0.05),
            "slow": float(int(requests * chance.random() * 0.1)),
            "answers": requests,
            "latency_p95": chance.random(),
            "input_tokens": requests * chance.randrange(100, 900),
            "output_tokens": requests * chance.randrange(50, 300),
            "active": float(chance.randrange(9)),
            "waiting": float(chance.randrange(3)),
            "cpu": chance.randrange(300) / 100,
            "memory": self._memory[service],
        }


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and report."""
    seconds = extent(arguments, what=__doc__, full=FULL, trial=TRIAL).seconds
    for busy, says in ((SERVICES // 2, "half of them with traffic"), (SERVICES, "all with traffic")):
        folder = Path(tempfile.mkdtemp(prefix="bt-"))
        writer = MeasureWriter(folder, time.time)
        costs = list(_added(writer, Traffic(busy), round(seconds / INTERVAL_S)))
        size = sum(path.stat().st_size for path in folder.iterdir()) * 7 * 86_400 / seconds / 1e6
        figure(f"history of {SERVICES} services for a week, {says}", [size], unit="MB on disk", at_most=200)
        if busy == SERVICES:
            figure(f"history: CPU to add a point of {SERVICES} services", costs, unit="ms", at_most=15)
            totals = [_totals(writer, BEGIN + seconds) for _ in range(5)]
            count = len(WINDOWS_S) * SERVICES * 4
            figure(f"history: CPU for {count:,} totals of 5 minutes to 3 days", totals, unit="ms", at_most=150)
        writer.close()
        shutil.rmtree(folder)


def _added(writer: MeasureWriter, traffic: Traffic, points: int) -> Iterator[float]:
    for number in range(1, points + 1):
        values = traffic.point()
        began = time.thread_time()
        writer.add(BEGIN + INTERVAL_S * number, values)
        yield 1000 * (time.thread_time() - began)
        if not number % BATCH or number == points:
            written = threading.Event()
            writer.soon(written.set)
            assert written.wait(60)


def _totals(writer: MeasureWriter, now: float) -> float:
    began = time.process_time()
    services: Sequence[str] = writer.services()
    for window_s in WINDOWS_S:
        for service in services:
            for measure in (REQUESTS, SERVER_ERRORS, ANSWERS, SLOW):
                writer.total(service, measure, since=now - window_s, until=now)
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    main(sys.argv[1:])
