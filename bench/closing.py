"""The sums of the ledger against the counters of the engine, after cancels, retries and killed processes.

Mixed requests of four APIs, one of them through the translator, streamed or not, four at once. Some clients leave, and
clients repeat what fails. Three times each, the control plane, the translator and the gateway are killed meanwhile.
In the end `bateau usage --check` compares. `--requests N` makes it shorter, and keeps no figure.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import psutil

from bench import report
from bench.instance import Instance
from bench.report import figure

REQUESTS = 2000
_CLIENTS = 4
_KILLS = 3
_CANCELLED = 0.05
_APART = 0.001  # 0.1 %
_WORDS = ("boat", "river", "harbour", "wind", "sailor", "night", "rope", "island")
_PATIENCE_S = 60.0


def main(arguments: list[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=REQUESTS)
    requests: int = parser.parse_args(arguments or []).requests
    if requests != REQUESTS:
        report.keep_nothing()
    with Instance() as instance:
        _measure(instance, requests)


def _measure(instance: Instance, requests: int) -> None:
    secret = instance.bateau("keys", "create", "bench").strip()
    instance.up()
    clients = _Clients(f"http://127.0.0.1:{instance.port}", secret, requests)
    asyncio.run(clients.run(_kills(instance, requests)))
    row = _check(instance)
    counted = row["engineTokensIn"] + row["engineTokensOut"]
    note = (
        f"{clients.answered} answered, {clients.left} left by their clients, {clients.repeated} repeated, "
        f"{row['requestsEstimated']} estimated; ledger {row['tokensIn']:,} in and {row['tokensOut']:,} out, "
        f"engine {row['engineTokensIn']:,} and {row['engineTokensOut']:,}"
    )
    claim = f"ledger against engine after {requests:,} requests: difference of {counted:,} tokens"
    figure(claim, [row["difference"] * 100], unit="%", at_most=_APART * 100, note=note)


def _check(instance: Instance) -> dict[str, Any]:
    """Return what the command says of the only replica, when no request is in flight."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        time.sleep(1)
        (row,) = json.loads(instance.bateau("usage", "--check", "--json"))["replicas"]
        if not row["requestsInFlight"]:
            return row
        assert time.monotonic() < deadline, row


def _kills(instance: Instance, requests: int) -> Mapping[int, Callable[[], None]]:
    """Return what is to be killed after which request."""

    def control() -> None:
        os.kill(instance.status()["pid"], signal.SIGKILL)
        instance.up()

    def gateway() -> None:
        (replica,) = instance.status()["gateway"]["replicas"]
        os.kill(replica["pid"], signal.SIGKILL)

    def translator() -> None:
        mark = str(instance.base)
        for process in psutil.process_iter(["cmdline"]):
            words = " ".join(process.info["cmdline"] or ())
            if mark in words and "bateau.traffic.translator" in words:
                with contextlib.suppress(psutil.Error):
                    process.kill()

    each = (control, translator, gateway)
    step = requests // (_KILLS * len(each) + 1)
    return {step * (number + 1): each[number % len(each)] for number in range(_KILLS * len(each))}


class _Clients:
    def __init__(self, url: str, secret: str, requests: int) -> None:
        self.answered = self.left = self.repeated = 0
        self._url = url
        self._headers = {"authorization": f"Bearer {secret}"}
        self._todo = list(range(requests, 0, -1))
        self._rng = random.Random(5)  # noqa: S311 - the same mix in each run

    async def run(self, kills: Mapping[int, Callable[[], None]]) -> None:
        """Send all requests."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(self._url, connector=connector, headers=self._headers) as session:
            await asyncio.gather(*(self._client(session, kills) for _ in range(_CLIENTS)))

    async def _client(self, session: aiohttp.ClientSession, kills: Mapping[int, Callable[[], None]]) -> None:
        while self._todo:
            number = self._todo.pop()
            killing = asyncio.create_task(asyncio.to_thread(kills[number])) if number in kills else None
            await self._one(session)
            if killing:
                await killing

    async def _one(self, session: aiohttp.ClientSession) -> None:
        streams = self._rng.random() < 0.6
        leaves = self._rng.random() < _CANCELLED
        path, body = self._request(stream=streams)
        while True:
            try:
                async with session.post(path, json=body) as response:
                    if response.status >= 500:
                        raise aiohttp.ClientPayloadError(str(response.status))
                    assert response.status == 200, await response.text()
                    if leaves and streams:
                        for _ in range(self._rng.randrange(2, 24)):
                            await response.content.readline()
                        response.close()
                        self.left += 1
                    else:
                        await response.read()
                        self.answered += 1
                    return
            except (aiohttp.ClientError, ConnectionError):
                self.repeated += 1
                await asyncio.sleep(0.2)

    def _request(self, *, stream: bool) -> tuple[str, dict[str, Any]]:
        words = " ".join(self._rng.choices(_WORDS, k=self._rng.randrange(5, 60)))
        tokens = self._rng.randrange(4, 24)
        messages = [{"role": "user", "content": words}]
        path, more = self._rng.choice(
            [
                ("/v1/chat/completions", {"messages": messages, "max_tokens": tokens}),
                ("/v1/completions", {"prompt": words, "max_tokens": tokens}),
                ("/v1/messages", {"messages": messages, "max_tokens": tokens}),
                ("/v1/responses", {"input": words, "max_output_tokens": tokens}),
                ("/api/chat", {"messages": messages, "options": {"num_predict": tokens}}),
            ]
        )
        return path, {"model": "chat", "stream": stream, **more}


if __name__ == "__main__":
    main(sys.argv[1:])
