"""A proxy in front of a real API server that misbehaves as it is told, and otherwise passes everything on."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from bateau.runtimes.kubernetes import Access, access_of
from bateau.runtimes.kubernetes.requests import Requests

Reply = Callable[[web.Request, aiohttp.ClientResponse], Awaitable[web.StreamResponse]]
Refusal = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
_HEADERS = ("Content-Type", "Retry-After")


@dataclass(frozen=True)
class Fault:
    """A way to misbehave: `before` answers instead of the API server, or not at all; `passing` spoils its answer."""

    name: str
    watches: bool = False
    before: Refusal | None = None
    passing: Reply | None = None
    times: int = 2


@dataclass
class Proxy:
    """Passes requests on, except those that the fault spoils: so many, and only watches or only others."""

    upstream: Requests
    fault: Fault | None = None
    left: int = 0
    killed: bool = False
    token: str | None = None  # accepts this one only
    open: set[asyncio.Transport] = field(default_factory=set[asyncio.Transport])

    def misbehave(self, fault: Fault) -> None:
        self.fault, self.left = fault, fault.times

    def cut_all(self) -> None:
        """Cut every connection, as a server does that is killed."""
        for transport in list(self.open):
            transport.abort()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.open.add(request.transport)
        if self.killed:
            request.transport.abort()
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return failure(401, "Unauthorized", "Unauthorized")
        fault = self._fault(request)
        if fault and fault.before and (answer := await fault.before(request)) is not None:
            return answer
        session = await self.upstream._open()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        headers = {"Content-Type": request.content_type} if request.body_exists else {}
        async with session.request(
            request.method,
            self.upstream.access.server + request.path_qs,
            data=await request.read() if request.body_exists else None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as told:
            return await (fault.passing if fault and fault.passing else passed)(request, told)

    def _fault(self, request: web.Request) -> Fault | None:
        if self.fault is None or self.left <= 0 or self.fault.watches != ("watch" in request.query):
            return None
        self.left -= 1
        return self.fault


async def passed(request: web.Request, told: aiohttp.ClientResponse) -> web.StreamResponse:
    """Pass an answer on as it comes."""
    response = web.StreamResponse(
        status=told.status, headers={k: told.headers[k] for k in _HEADERS if k in told.headers}
    )
    await response.prepare(request)
    async for chunk in told.content.iter_any():
        await response.write(chunk)
    return response


def failure(code: int, reason: str, message: str, **headers: str) -> web.Response:
    """Return a Status object, as the API server's errors have it."""
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return web.json_response(body, status=code, headers=headers)


def refusing(code: int, reason: str, message: str, **headers: str) -> Refusal:
    """Return an answer that is an error."""

    async def before(_request: web.Request) -> web.StreamResponse:
        return failure(code, reason, message, **headers)

    return before


def late(seconds: float) -> Refusal:
    """Return nothing for a while."""

    async def before(_request: web.Request) -> None:
        await asyncio.sleep(seconds)

    return before


def spoiled(*, share: float = 0.5, ends: str = "cut", more: bytes = b"") -> Reply:
    """Pass a share of the first bytes on, then other bytes; then cut the connection, end the answer, or say nothing."""

    async def passing(request: web.Request, told: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=told.status)
        await response.prepare(request)
        chunk = await told.content.readany() if share else b""
        await response.write(chunk[: int(len(chunk) * share)] + more)
        if ends == "hang":
            await asyncio.sleep(60)
        if ends == "cut" and request.transport is not None:
            request.transport.abort()
        return response

    return passing


@asynccontextmanager
async def proxied(kubeconfig: Path, *, token: str | None = None) -> AsyncGenerator[tuple[Access, Proxy]]:
    """Give the access to an API server through a proxy, and the proxy."""
    upstream = Requests(access_of([kubeconfig]))
    proxy = Proxy(upstream, token=token)
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield Access(name="berlin", server=f"http://{host}:{port}"), proxy
    finally:
        await runner.cleanup()
        await upstream.close()
