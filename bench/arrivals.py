"""Requests that arrive at random times at a given rate, whether earlier ones were answered or not.

Used by bench.overload.

Invariant: the time of an answer begins when its request was due, not when the client came to send it. A client that is
late therefore makes the figures worse and never better. How late it was, and how much of a core it used, is a result.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp


@dataclass(frozen=True, kw_only=True)
class Answer:
    """When its request was due, the seconds from then to the whole answer, and the kind of answer."""

    due: float
    seconds: float
    status: int
    says_when: bool  # it has Retry-After


@dataclass
class Tally:
    """The answers; requests that got none; and how late and busy the client was."""

    answers: list[Answer] = field(default_factory=list[Answer])
    errors: list[str] = field(default_factory=list[str])
    late_s: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    cpu_s: float = 0.0

    def share(self, *statuses: int) -> float:
        """Return the share of all requests in percent that were answered with one of `statuses`."""
        count = sum(each.status in statuses for each in self.answers)
        return 100 * count / max(1, len(self.answers) + len(self.errors))


class Clients:
    """Clients of the endpoint, on as many connections as they need."""

    def __init__(self, port: int, secret: str, *, seed: int) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._headers = {"authorization": f"Bearer {secret}"}
        self._random = random.Random(seed)  # noqa: S311 - arrivals, not secrets

    async def arrive(self, *, rate: float, seconds: float, body: Mapping[str, object]) -> Tally:
        """Send requests at `rate` a second on average, wait for the answers to all, and return them."""
        tally = Tally()
        loop = asyncio.get_running_loop()
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            began, cpu = loop.time(), time.process_time()
            due = began
            async with asyncio.TaskGroup() as group:
                while (due := due + self._random.expovariate(rate)) < began + seconds:
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    group.create_task(self._one(session, body, due, tally))
            tally.seconds, tally.cpu_s = loop.time() - began, time.process_time() - cpu
        return tally

    async def _one(self, session: aiohttp.ClientSession, body: Mapping[str, object], due: float, tally: Tally) -> None:
        loop = asyncio.get_running_loop()
        tally.late_s.append(loop.time() - due)
        try:
            async with session.post(self._url, json=body, headers=self._headers) as response:
                await response.read()
                tally.answers.append(
                    Answer(
                        due=due,
                        seconds=loop.time() - due,
                        status=response.status,
                        says_when="retry-after" in response.headers,
                    )
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            tally.errors.append(repr(error))

    async def in_turn(self, *, clients: int, seconds: float, body: Mapping[str, object]) -> float:
        """Return how many requests are answered in a second if each client asks again once it has its answer."""
        tally = Tally()
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds

        async def client(session: aiohttp.ClientSession) -> None:
            while loop.time() < ends:
                await self._one(session, body, loop.time(), tally)

        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(clients):
                group.create_task(client(session))
        assert tally.share(200) == 100, tally.errors[:1] or {each.status for each in tally.answers}
        return len(tally.answers) / seconds
