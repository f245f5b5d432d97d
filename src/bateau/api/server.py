"""The control plane's HTTP API, on a unix socket that only its user can open.

Called by the commands that run a control plane. The gateway passes `/metrics` on to it and nothing else.

Invariant: no request to a model ever comes here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from bateau.api.encoding import encode
from bateau.domain.status import Status


class ApiServer:
    """Answers about one control plane, and stops it when asked."""

    def __init__(
        self, socket: Path, *, status: Callable[[], Status], metrics: Callable[[], Awaitable[str]], stop: asyncio.Event
    ) -> None:
        self._socket = socket
        self._status = status
        self._metrics = metrics
        self._stop = stop
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/v1/status", self._get_status),
                web.get("/metrics", self._get_metrics),
                web.post("/v1/stop", self._post_stop),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        self._socket.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(self._socket)).start()
        self._socket.chmod(0o600)

    async def close(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()
            self._socket.unlink(missing_ok=True)

    async def _get_status(self, _: web.Request) -> web.Response:
        return web.Response(text=encode(self._status()), content_type="application/json")

    async def _get_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=(await self._metrics()).encode(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def _post_stop(self, _: web.Request) -> web.Response:
        self._stop.set()
        return web.json_response({"stopping": True}, status=202)
