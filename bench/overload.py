"""Ten times the load that a model can carry: the time of accepted requests, the others, memory, and restarts.

A real instance, with keys, limits and the ledger, serves one model with `scale.queue`. First comes the load that it can
just carry: `CARRIED` of what its slots answer. Then ten times that load, for minutes. The p99 of the accepted requests
in each tenth of that time is divided by the p99 of the load before it.

Noise: the engine is bench.bounded_engine, which uses no processor, so that the cores are free for the gateway and the
client. Requests arrive at random times that do not depend on answers, with the same seed in each run. Times begin when
a request was due. The client is not the bottleneck if it was not late and used less than a core: both are figures.
"""

import asyncio
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bateau.api.client import ApiClient
from bateau.wiring.paths import paths
from bench.arrivals import Clients, Tally
from bench.extent import Extent, extent
from bench.instance import Instance
from bench.report import figure

FULL, TRIAL = Extent(rounds=10, seconds=600), Extent(rounds=2, seconds=20)
SLOTS = 8
QUEUE = 2 * SLOTS
CARRIED = 0.9
TIMES = 10
LATE_MS_MAX = 20  # a tenth of the time of an answer
SPEC = f"""\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {{name: chat}}
spec:
  engine: vllm
  source: hf://bench/bounded
  parallel: {SLOTS}
  scale: {{min: 1, max: 1, queue: {{max: {QUEUE}, wait: 60s}}}}
"""
_PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {folder!r})
from bench.bounded_engine import main
main()
"""
_BODY = {"model": "chat", "max_tokens": 64, "messages": [{"role": "user", "content": "Tell me about the sea. " * 8}]}
_REFUSED = (429, 503)


@dataclass(frozen=True)
class _Sizes:
    """Resident memory in MB."""

    envoy: float
    control: float


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and report."""
    size = extent(arguments, what=__doc__, full=FULL, trial=TRIAL)
    with Instance({"chat.yaml": SPEC}) as instance:
        _install_engine(instance)
        secret = instance.key()
        instance.up()
        asyncio.run(_measure(_Watched(instance), Clients(instance.port, secret, seed=1), size))


def _install_engine(instance: Instance) -> None:
    program = instance.programs / "vllm"
    program.write_text(_PROGRAM.format(python=sys.executable, folder=str(Path(__file__).parent.parent)))
    program.chmod(0o700)


class _Watched:
    """The processes of an instance, while it is under load."""

    def __init__(self, instance: Instance) -> None:
        self._client = ApiClient(paths("default", instance.environ).control_socket, instance="default")
        tree = self._tree()
        self._before = self._replicas(tree)
        self._control = psutil.Process(int(tree["pid"]))
        self._envoy = psutil.Process(int(tree["gateway"]["replicas"][0]["pid"]))

    def sizes(self) -> _Sizes:
        """Return the memory of the gateway and of the control plane."""
        return _Sizes(self._envoy.memory_info().rss / 1e6, self._control.memory_info().rss / 1e6)

    def restarted(self) -> int:
        """Return how many processes have been restarted or replaced: replicas, the gateway, the control plane."""
        tree = self._tree()
        now = self._replicas(tree)
        replaced = sum(now.get(key) != value for key, value in self._before.items())
        return replaced + (int(tree["pid"]) != self._control.pid)

    def _tree(self) -> dict[str, Any]:
        return dict(self._client.status())

    def _replicas(self, tree: dict[str, Any]) -> dict[str, tuple[int, int]]:
        return {
            replica["id"]: (replica["pid"], replica["restarts"])
            for service in (*tree["services"], tree["gateway"])
            for replica in service["replicas"]
        }


async def _measure(watched: _Watched, clients: Clients, size: Extent) -> None:
    before_s = max(5.0, size.seconds / 10)
    capacity = await clients.in_turn(clients=SLOTS, seconds=before_s / 2, body=_BODY)
    rate = CARRIED * capacity
    before = await clients.arrive(rate=rate, seconds=before_s, body=_BODY)
    sizes: list[_Sizes] = []
    overload = asyncio.create_task(clients.arrive(rate=TIMES * rate, seconds=size.seconds, body=_BODY))
    # The memory of the start is that of full load: buffers and connections of ten times as many requests are no leak.
    for share in (0.05, 0.45, 0.45):
        await asyncio.sleep(share * size.seconds)
        sizes.append(watched.sizes())
    under = await overload
    after = await clients.arrive(rate=rate, seconds=before_s, body=_BODY)
    print(f"{SLOTS} slots answer {capacity:.1f} requests/s; the load is {rate:.1f}/s, and {TIMES * rate:.0f}/s")
    _report_times(before, under, after, windows=size.rounds)
    _report_answers(before, under)
    answered = under.share(200) / 100 * len(under.answers) / under.seconds
    figure("overload: answers a second ÷ those that its slots can give", [answered / capacity], unit="x")
    _report_client(under)
    _report_memory(sizes)
    figure("overload: processes restarted", [watched.restarted()], unit="processes", at_most=0)


def _report_times(before: Tally, under: Tally, after: Tally, *, windows: int) -> None:
    base = _p99(before)
    accepted = [_p99(each) for each in _split(under, windows)]
    figure(
        "overload: p99 of accepted requests ÷ p99 of a load that is carried",
        [each / base for each in accepted],
        unit="x",
        at_most=1.5,
        note=f"{TIMES} times the load for {under.seconds:.0f} s, in {windows} parts; {SLOTS} slots, queue.max {QUEUE}",
    )
    figure("overload: p99 of accepted requests", [1000 * each for each in accepted], unit="ms")
    figure("overload: p99 of a load that is carried, before", [1000 * base], unit="ms")
    figure("overload: p99 of a load that is carried, after", [1000 * _p99(after)], unit="ms")


def _report_answers(before: Tally, under: Tally) -> None:
    refused = [each for each in under.answers if each.status in _REFUSED]
    figure("overload: requests of a load that is carried, answered with 200", [before.share(200)], unit="%")
    figure("overload: requests answered with 200", [under.share(200)], unit="%")
    figure("overload: requests answered with 503 or 429", [under.share(*_REFUSED)], unit="%")
    figure(
        "overload: requests answered with anything else, or not at all",
        [100 - under.share(200, *_REFUSED)],
        unit="%",
        at_most=0,
        note=f"the first: {under.errors[0]}" if under.errors else None,
    )
    if refused:
        named = 100 * sum(each.says_when for each in refused) / len(refused)
        figure("overload: refusals with Retry-After", [named], unit="%", at_least=100)
        times = sorted(each.seconds for each in refused)
        figure("overload: p99 of refusals", [1000 * _percentile(times, 99)], unit="ms")


def _report_client(under: Tally) -> None:
    late_ms = 1000 * _percentile(under.late_s, 99)
    figure("overload: client, p99 of how late it sent a request", [late_ms], unit="ms", at_most=LATE_MS_MAX)
    figure("overload: client, CPU", [100 * under.cpu_s / under.seconds], unit="% of a core", at_most=80)


def _report_memory(sizes: Sequence[_Sizes]) -> None:
    for name, values in (
        ("Envoy", [each.envoy for each in sizes]),
        ("the control plane", [each.control for each in sizes]),
    ):
        for when, value in zip(("start", "middle", "end"), values, strict=True):
            figure(f"overload: memory of {name}, {when}", [value], unit="MB")
        figure(f"overload: memory of {name}, end ÷ middle", [values[2] / values[1]], unit="x", at_most=1.05)


def _split(tally: Tally, count: int) -> list[Tally]:
    """Return the answers in `count` parts of the same length, by the time at which their requests were due."""
    first = min(each.due for each in tally.answers)
    length = (max(each.due for each in tally.answers) - first) / count
    parts = [Tally() for _ in range(count)]
    for each in tally.answers:
        parts[min(count - 1, int((each.due - first) / length))].answers.append(each)
    return parts


def _p99(tally: Tally) -> float:
    return _percentile([each.seconds for each in tally.answers if each.status == 200], 99)


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main(sys.argv[1:])
