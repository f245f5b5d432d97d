"""Clients that send requests without a pause, and count the failures."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

from aiohttp import ClientError

from traffic.gateway import Gateway, eventually


@dataclass
class Tally:
    """What the clients saw."""

    good: int = 0
    bad: list[str] = field(default_factory=list[str])


class Load:
    """`clients` requests in flight for the length of a block, each followed by the next."""

    def __init__(self, gateway: Gateway, *, model: str = "chat", clients: int = 6) -> None:
        self._gateway = gateway
        self._model = model
        self._clients = clients
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []
        self.tally = Tally()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Wait until this number of further requests is done, so that an earlier change has affected some."""
        goal = self._done() + count

        async def reached() -> bool:
            return self._done() >= goal

        await eventually(reached)

    def _done(self) -> int:
        return self.tally.good + len(self.tally.bad)

    async def _client(self) -> None:
        while not self._over:
            try:
                answer = await self._gateway.chat(self._model)
            except ClientError as error:
                self.tally.bad.append(repr(error))
                continue
            if answer.status == 200:
                self.tally.good += 1
            else:
                self.tally.bad.append(f"{answer.status} {answer.body.decode()}")
