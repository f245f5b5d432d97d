"""What the whole chain costs, against an Envoy that only forwards, other proxies, and no proxy at all.

Two kinds of answers are measured. Short ones come from an Envoy that answers 1 kB by itself, as fast as it is asked.
Streams come from a program that sends events as an engine does: `EVENTS_PER_S` a second on each of `STREAMS`
connections, `EVENTS` in each stream. There the rate is given, and the CPU time per event is compared; the share of an
event in that of its request is part of it.

Noise: all proxies run in the same rounds, one after another, and every second round in the reverse order. A ratio is
that of two neighbours in one round. CPU time is that of the proxy alone, so other programs change it little.

The load comes from wrk (Debian package `wrk`). nginx, haproxy and LiteLLM are compared where they can be had.
"""

import asyncio
import http.client
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bateau.wiring.listen import free_port
from bench import plain_proxies
from bench.contenders import BARE, CONTENDERS, DIRECT, LITELLM, Contender, Running, started
from bench.event_stream import EVENTS, EVENTS_PER_S
from bench.extent import Extent, extent
from bench.report import figure
from bench.wrk import Load, Round, ask

FULL, TRIAL = Extent(rounds=5, seconds=4), Extent(rounds=1, seconds=2)
STREAMS = 8  # LiteLLM keeps pace with so many on a slow core
_STREAM_S = EVENTS / EVENTS_PER_S
ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x" * 900}}],
        "usage": {"prompt_tokens": 230, "completion_tokens": 230, "total_tokens": 460},
    }
)
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
wrk.body = '{"model":"chat",%s"messages":[{"role":"user","content":"%s"}]}'
"""


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and report."""
    size = extent(arguments, what=__doc__, full=FULL, trial=TRIAL)
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        folder, port = Path(name), free_port()
        with _ended(plain_proxies.answering_envoy(folder, port, ANSWER)):
            asyncio.run(_short_answers(folder / "short", port, size))
        with _ended(subprocess.Popen([sys.executable, "-m", "bench.event_stream", str(port)])):
            asyncio.run(_streams(folder / "streams", port, size))


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Generator[None]:
    """End the process after the block."""
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def _short_answers(folder: Path, upstream: int, size: Extent) -> None:
    async with started(CONTENDERS, folder, upstream, stream=False) as (running, secret):
        script = folder / "post.lua"
        script.write_text(_SCRIPT % (secret, "", "x" * 900))
        for connections in (1, 32):
            load = Load(script=script, connections=connections, seconds=size.seconds)
            rounds: list[dict[str, Round]] = []
            for number in range(size.rounds):
                rounds.append({})
                for name in _order(running, number):
                    each = running[name]
                    rounds[-1][name] = await asyncio.to_thread(ask, each.port, load, each.proxy)
            _report_short(rounds, f"{connections} connection{'s' if connections > 1 else ''}")


def _report_short(rounds: Sequence[Mapping[str, Round]], at: str) -> None:
    costs = [{name: each.cpu_s / each.requests * 1e6 for name, each in one.items()} for one in rounds]
    for contender in _measured(rounds):
        name = contender.name
        if name not in (DIRECT, BARE):
            rates = [each[name].rate / each[BARE].rate for each in rounds]
            figure(f"requests/s, {at}: {name} ÷ bare Envoy", rates, unit="x", note=contender.note or None)
    _report_ratios(costs, f"CPU, {at}")
    for name in (each.name for each in _measured(rounds)):
        figure(f"requests/s, {at}: {name}", [each[name].rate for each in rounds], unit="1/s")
        figure(f"p50, {at}: {name}", [each[name].p50_ms for each in rounds], unit="ms")
        figure(f"p99, {at}: {name}", [each[name].p99_ms for each in rounds], unit="ms")
        if name != DIRECT:
            figure(f"CPU per request, {at}: {name}", [each[name] for each in costs], unit="us")


@dataclass(frozen=True)
class _Streamed:
    """The CPU time of a proxy per event, and the share of the events that arrived in time."""

    cpu_us: float
    pace: float


async def _streams(folder: Path, upstream: int, size: Extent) -> None:
    proxies = [each for each in CONTENDERS if each.name != DIRECT]
    async with started(proxies, folder, upstream, stream=True) as (running, secret):
        script = folder / "stream.lua"
        script.write_text(_SCRIPT % (secret, '"stream":true,', "x" * 900))
        # A whole number of streams, so that few are cut off when the time is over.
        seconds = max(1, round(size.seconds / _STREAM_S)) * _STREAM_S
        load = Load(script=script, connections=STREAMS, seconds=seconds)
        rounds: list[dict[str, _Streamed]] = []
        for number in range(size.rounds):
            rounds.append({})
            for name in _order(running, number):
                rounds[-1][name] = await asyncio.to_thread(_streamed, running[name], upstream, load)
    at = f"{STREAMS} streams of {EVENTS_PER_S} events/s"
    _report_ratios([{name: each.cpu_us for name, each in one.items()} for one in rounds], f"CPU per event, {at}")
    for name in (each.name for each in _measured(rounds)):
        figure(
            f"CPU per event, {at}: {name}",
            [each[name].cpu_us for each in rounds],
            unit="us",
            note=f"at least {100 * min(each[name].pace for each in rounds):.0f} % of the events came in time",
        )


def _streamed(running: Running, upstream: int, load: Load) -> _Streamed:
    before = _events_when_quiet(upstream)
    done = ask(running.port, load, running.proxy)
    events = _events_sent(upstream) - before
    due = load.connections * math.ceil(load.seconds) * EVENTS_PER_S
    return _Streamed(cpu_us=done.cpu_s / events * 1e6, pace=events / due)


def _events_when_quiet(upstream: int) -> int:
    """Wait until no stream of the round before is sent, and return how many events there were so far."""
    before, sent = -1, _events_sent(upstream)
    while sent != before:
        time.sleep(5 / EVENTS_PER_S)
        before, sent = sent, _events_sent(upstream)
    return sent


def _events_sent(upstream: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=10)
    connection.request("GET", "/sent")
    sent = int(connection.getresponse().read())
    connection.close()
    return sent


def _report_ratios(costs: Sequence[Mapping[str, float]], what: str) -> None:
    """Report the costs of each round: each proxy beside bare Envoy, and LiteLLM beside each chain of Bateau's."""
    for contender in _measured(costs):
        name = contender.name
        if name not in (DIRECT, BARE):
            figure(f"{what}: bare Envoy ÷ {name}", [each[BARE] / each[name] for each in costs], unit="x")
        if contender.is_chain and LITELLM in costs[0]:
            figure(f"{what}: LiteLLM ÷ {name}", [each[LITELLM] / each[name] for each in costs], unit="x")


def _measured(rounds: Sequence[Mapping[str, object]]) -> list[Contender]:
    return [each for each in CONTENDERS if each.name in rounds[0]]


def _order(running: Mapping[str, Running], number: int) -> list[str]:
    return [*running] if number % 2 else [*running][::-1]


if __name__ == "__main__":
    main(sys.argv[1:])
