"""An API server that answers as it is told, for answers that the real one gives only on bad days."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from bateau.kit.json_value import JsonObject
from bateau.runtimes.kubernetes import Access, ApiServer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status(code: int, reason: str, message: str, **headers: str) -> Answer:
    """Return an answer with a Status object, as the API server's errors have it."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
        return web.json_response(body, status=code, headers=headers)

    return answer


def objects(*items: JsonObject, version: str = "5", more: str = "") -> Answer:
    """Return a page of a list."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"items": items, "metadata": {"resourceVersion": version, "continue": more}})

    return answer


def stream(*chunks: bytes, cut: bool = False, hold: bool = False) -> Answer:
    """Return a watch that sends these bytes and then ends, is cut, or stays silent."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if hold:
            await asyncio.sleep(60)
        if cut and request.transport is not None:
            request.transport.abort()
        return response

    return answer


@dataclass
class Servant:
    """The answers that are still to be given, in order; the last one is given again and again."""

    answers: list[Answer]
    asked: list[web.Request] = field(default_factory=list[web.Request])

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@asynccontextmanager
async def served(*answers: Answer, token: str = "") -> AsyncGenerator[tuple[ApiServer, Servant]]:
    """Give a client, and the server that it speaks to."""
    servant = Servant(list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", servant.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    api = ApiServer(Access(name="berlin", server=f"http://{host}:{port}", token=token or None))
    try:
        yield api, servant
    finally:
        await api.close()
        await runner.cleanup()
