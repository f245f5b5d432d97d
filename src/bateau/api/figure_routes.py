"""Serve the figures of the services.

Called by api.server.

Invariant: a figure that is not known is null, and never 0. Held by
tests/api/test_figures.py::test_figures_that_are_not_known_are_null.
"""

from aiohttp import web

from bateau.api.encoding import encode
from bateau.ports.meter import Meter


def figure_routes(meter: Meter) -> list[web.RouteDef]:
    """Return the routes."""

    async def figures(_: web.Request) -> web.Response:
        return web.Response(text=encode(await meter.now()), content_type="application/json")

    return [web.get("/v1/figures", figures)]
