"""Make links to the dashboard, for whoever can open the socket of the control API.

Called by api.server.
"""

from typing import Literal, Protocol

from aiohttp import web

from bateau.api.requests import LinkRequest, parsed


class Dashboard(Protocol):
    """A dashboard."""

    def application(self) -> web.Application:
        """Return the application, for the paths below /ui."""
        ...

    def link(self, role: Literal["view", "operate", "admin"]) -> str:
        """Return the path of a new link, which opens one session with a role."""
        ...


def link_routes(dashboard: Dashboard) -> list[web.RouteDef]:
    """Return the routes."""

    async def link(request: web.Request) -> web.Response:
        asked = parsed(LinkRequest, await request.read())
        return web.json_response({"path": dashboard.link(asked.role)})

    return [web.post("/v1/dashboard/links", link)]
