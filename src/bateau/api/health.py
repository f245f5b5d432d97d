"""Serve `/healthz`, `/readyz` and `/metrics` of a controller.

Called by cli.controller. Source: the health endpoints of the Kubernetes API ("livez, readyz").
"""

from collections.abc import Callable

from aiohttp import web

from bateau.wiring.site import Site


class HealthServer:
    """Answers probes and scrapes. `unready` returns why the controller does not work as it should, None if it does."""

    def __init__(
        self, address: str, port: int, *, unready: Callable[[], str | None], metrics: Callable[[], str]
    ) -> None:
        self._unready = unready
        self._metrics = metrics
        app = web.Application()
        app.router.add_get("/healthz", _alive)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._page)
        self._site = Site(app, address, port, option="--health")

    async def open(self) -> None:
        """Start to listen. Raises ControlError if the address cannot be used."""
        await self._site.open()

    async def close(self) -> None:
        """Stop to listen."""
        await self._site.close()

    async def _ready(self, _request: web.Request) -> web.Response:
        why = self._unready()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _alive(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")
