"""A small real upstream: an HTTP server on a unix socket or a loopback port, in the test's own process."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDictProxy

from bateau.domain.endpoint import Endpoint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def model(self) -> object:
        return json.loads(self.body)["model"]


class Upstream:
    """Answers with its own name unless a test sets `answer`; remembers what arrived and how many were cut off."""

    def __init__(self, name: str, socket: Path | None = None) -> None:
        self.name = name
        self.seen: list[Seen] = []
        self.cut_off = 0
        self.answer: Handler = self._own_name
        self._socket = socket
        self._runner: web.AppRunner | None = None
        self.address = str(socket) if socket else ""

    def endpoint(self, *, draining: bool = False) -> Endpoint:
        return Endpoint(replica=self.name, address=self.address, draining=draining)

    async def open(self) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        if self._socket:
            await web.UnixSite(self._runner, str(self._socket)).start()
        else:
            await web.TCPSite(self._runner, "127.0.0.1", 0).start()
            host, port = self._runner.addresses[0]
            self.address = f"{host}:{port}"

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.StreamResponse:
        upgraded = "upgrade" in request.headers
        body = b"" if upgraded else await request.read()
        self.seen.append(Seen(method=request.method, path=request.path_qs, headers=request.headers, body=body))
        try:
            return await self.answer(request)
        except asyncio.CancelledError:
            self.cut_off += 1
            raise

    async def _own_name(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"upstream": self.name})


@contextlib.asynccontextmanager
async def upstream(name: str, socket: Path | None = None) -> AsyncGenerator[Upstream, None]:
    """Run an upstream for the length of a block."""
    made = Upstream(name, socket)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


class Stream:
    """A response in server-sent events that continues when the test allows it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue()

    def send(self, part: bytes) -> None:
        self._parts.put_nowait(part)

    def end(self) -> None:
        self._parts.put_nowait(None)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        self.begun.set()
        while (part := await self._parts.get()) is not None:
            await response.write(part)
        await response.write_eof()
        return response
