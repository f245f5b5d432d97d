"""Streaming clients that count what they lose."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from local.stack import chat_body


@dataclass
class Tally:
    """What the clients saw. A failure is any answer that is not a whole stream."""

    whole: int = 0
    failures: list[str] = field(default_factory=list[str])
    whole_started_at: list[float] = field(default_factory=list[float])
    failed_started_at: list[float] = field(default_factory=list[float])


class Load:
    """`clients` streaming requests in flight, each followed by the next, until stopped."""

    def __init__(self, url: str, *, clients: int, max_tokens: int = 4) -> None:
        self._url = url
        self._clients = clients
        self._body = chat_body(stream=True, max_tokens=max_tokens)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.tally = Tally()

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._session.close()

    async def _client(self) -> None:
        while not self._stop.is_set():
            started_at = asyncio.get_running_loop().time()
            failure = await self._one()
            if failure is None:
                self.tally.whole += 1
                self.tally.whole_started_at.append(started_at)
            else:
                self.tally.failures.append(failure)
                self.tally.failed_started_at.append(started_at)
                await asyncio.sleep(0.05)

    async def _one(self) -> str | None:
        try:
            async with self._session.post(f"{self._url}/v1/chat/completions", json=self._body) as response:
                if response.status != 200:
                    return f"{response.status} {await response.text()}"
                last, finish = b"", None
                async for line in response.content:
                    if line.strip():
                        last = line.strip()
                        if last.startswith(b"data: {"):
                            choices: list[dict[str, Any]] = json.loads(last[6:]).get("choices") or [{}]
                            finish = choices[0].get("finish_reason") or finish
                return None if last == b"data: [DONE]" and finish else f"cut after {last!r}"
        except aiohttp.ClientError as error:
            return repr(error)
