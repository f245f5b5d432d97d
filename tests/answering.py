"""Servers on loopback, for the length of a block."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from aiohttp import web


@contextlib.asynccontextmanager
async def answering(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncGenerator[str]:
    """Answer every request in one way until the block ends; gives the URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with serving(app) as url:
        yield url


@contextlib.asynccontextmanager
async def serving(app: web.Application, *, patience_s: float = 60.0) -> AsyncGenerator[str]:
    """Serve an application until the block ends; gives the URL. Requests have `patience_s` to end by themselves."""
    runner = web.AppRunner(app, shutdown_timeout=patience_s)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
