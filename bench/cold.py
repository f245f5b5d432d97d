"""A model that sleeps, asked by 50 clients at once: the first answer, against the engine's own time to load and answer.

The engine's own time is that of the same program with the same arguments and variables, started by hand: from its start
to its first whole answer to the same prompt. 50 at once share the slots of the replica, so the first of them is
answered later than one that is alone. Both are therefore measured on both sides: a lone request, and 50 at once.

Noise: each round has all four, one after another, in another order each time. The file of the model is in the memory
of the system before the first round. Requests are sent once the model sleeps and its process has ended.
"""

import asyncio
import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from bateau.api.client import ApiClient
from bateau.wiring.paths import paths
from bench.extent import Extent, extent
from bench.instance import Instance
from bench.report import figure
from bench.stream import connect

FULL, TRIAL = Extent(rounds=5, seconds=0), Extent(rounds=1, seconds=0)
CLIENTS = 50
SPEC = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec:
  source: smollm2
  parallel: 4
  contextLength: 512
  scale: {min: 0, idleAfter: 2s, queue: {max: 64, wait: 60s}}
"""
_BODY = {
    "model": "chat",
    "messages": [{"role": "user", "content": "Say something short."}],
    "max_tokens": 2,
    "temperature": 0,
}
_PATIENCE_S = 120.0
_OWN, _OWN_MANY = "the engine by itself", f"the engine by itself, {CLIENTS} requests"
_LONE, _MANY = "a lone request", f"{CLIENTS} requests"


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and report."""
    size = extent(arguments, what=__doc__, full=FULL, trial=TRIAL)
    with Instance({"chat.yaml": SPEC}) as instance:
        instance.up()
        model = _Sleeper(instance)
        model.ask(1)
        engine = _Engine(model.replica(), instance.base / "engine.sock")
        engine.answer_s(1)  # nobody's time: the model comes from the disk
        ways: dict[str, Callable[[], float]] = {
            _OWN: lambda: engine.answer_s(1),
            _OWN_MANY: lambda: engine.answer_s(CLIENTS),
            _LONE: lambda: model.ask(1)[0],
            _MANY: lambda: model.ask(CLIENTS)[0],
        }
        rounds: list[dict[str, float]] = []
        for number in range(size.rounds):
            order = [*ways][number % len(ways) :] + [*ways][: number % len(ways)]
            rounds.append({})
            for way in order:
                model.await_sleep()
                rounds[-1][way] = ways[way]()
    _report(rounds)


def _report(rounds: Sequence[dict[str, float]]) -> None:
    figure(
        f"cold: first answer of {CLIENTS} requests to a sleeping model, beyond the engine's own load and answer",
        [each[_MANY] - each[_OWN] for each in rounds],
        unit="s",
        at_most=0.3,
        note="SmolLM2-135M Q4_1, file in memory, 4 slots; all requests are answered with 200",
    )
    figure(
        "cold: answer to a lone request to a sleeping model, beyond the engine's own load and answer",
        [each[_LONE] - each[_OWN] for each in rounds],
        unit="s",
    )
    figure(
        f"cold: first answer of {CLIENTS} requests to a sleeping model ÷ the engine's own load and answer",
        [each[_MANY] / each[_OWN] for each in rounds],
        unit="x",
    )
    figure(
        f"cold: first answer of {CLIENTS} requests to a sleeping model, beyond the engine's own to {CLIENTS}",
        [each[_MANY] - each[_OWN_MANY] for each in rounds],
        unit="s",
    )
    for way in (_OWN, _OWN_MANY, _LONE, _MANY):
        figure(f"cold: first answer, {way}", [each[way] for each in rounds], unit="s")


async def _ask(url: str, count: int, socket: str | None = None) -> list[float]:
    """Send requests at the same time, and return the seconds until each answer in order; all must be 200."""
    connector = aiohttp.UnixConnector(socket, limit=0) if socket else aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        started = time.perf_counter()

        async def one() -> float:
            async with session.post(url, json=_BODY) as answer:
                text = await answer.text()
                assert answer.status == 200, f"{answer.status} {text}"
            return time.perf_counter() - started

        return sorted(await asyncio.gather(*(one() for _ in range(count))))


class _Sleeper:
    """The model that sleeps, behind the gateway."""

    def __init__(self, instance: Instance) -> None:
        self._client = ApiClient(paths("default", instance.environ).control_socket, instance="default")
        self._url = f"http://127.0.0.1:{instance.port}/v1/chat/completions"

    def ask(self, count: int) -> list[float]:
        """Send requests at the same time, and return the seconds until each answer, the first one first."""
        return asyncio.run(_ask(self._url, count))

    def replica(self) -> psutil.Process:
        """Return the process of its replica."""
        return psutil.Process(int(self._service()["replicas"][0]["pid"]))

    def await_sleep(self) -> None:
        """Wait until it sleeps and none of its processes is left."""
        deadline = time.monotonic() + _PATIENCE_S
        while (service := self._service())["state"] != "Asleep" or service["replicas"]:
            assert time.monotonic() < deadline, f"the model does not sleep: {service['state']}"
            time.sleep(0.1)
        time.sleep(1)  # what happens after a stop is not part of a start

    def _service(self) -> dict[str, Any]:
        (service,) = self._client.status()["services"]
        return dict(service)


class _Engine:
    """The program of a replica, started by hand with the same arguments and variables, on a socket of its own."""

    def __init__(self, replica: psutil.Process, socket: Path) -> None:
        words = replica.cmdline()
        words[words.index("--socket") + 1] = str(socket)
        self._command, self._environ, self._folder = words, replica.environ(), replica.cwd()
        self._socket = socket
        # A process with these marks would be taken for a replica of the instance.
        for name in [each for each in self._environ if each.startswith("BATEAU_")]:
            del self._environ[name]

    def answer_s(self, count: int) -> float:
        """Return the seconds from the start of the engine to the first answer to `count` requests, and end it."""
        self._socket.unlink(missing_ok=True)
        started = time.perf_counter()
        process = subprocess.Popen(
            self._command,
            env=self._environ,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not self._is_loaded():
                assert process.poll() is None, f"the engine has ended with {process.returncode}"
                time.sleep(0.005)
            loaded_s = time.perf_counter() - started
            return loaded_s + asyncio.run(_ask("http://engine/v1/chat/completions", count, str(self._socket)))[0]
        finally:
            process.terminate()
            process.wait()

    def _is_loaded(self) -> bool:
        connection = connect(str(self._socket))
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
