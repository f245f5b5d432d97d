"""Serve the dashboard of a controller, on loopback of its pod.

Called by cli.controller. Whoever may forward ports of the pod reaches it: that is a right on the cluster, so whoever
has it may make a link as well. The dashboard shows, and changes nothing but silences of alerts.

Invariant: a page of another origin makes no link, and neither reads nor silences alerts. Held by
tests/ui/test_cluster_dashboard.py::test_a_page_of_another_origin_makes_no_link_and_silences_nothing.
Invariant: only the address that a browser was sent to is answered, so that no name of another site leads here. Held by
tests/ui/test_cluster_dashboard.py::test_another_host_is_refused.
"""

import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from bateau.control.restarts import Restarted
from bateau.domain.errors import ControlError
from bateau.ports.logs import LiveLogs
from bateau.ui.alert_actions import AlertDesk, NoAlerts
from bateau.ui.dashboard import Dashboard
from bateau.ui.frame import ROOT
from bateau.ui.instance import Instance
from bateau.ui.reports import NoReporter, Reporter
from bateau.ui.sessions import Sessions
from bateau.wiring.cluster_open import LINK_HEADER, LINKS, OWN
from bateau.wiring.cluster_view import ClusterView
from bateau.wiring.site import Site

_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


class ClusterDashboard:
    """The dashboard of a controller at an address."""

    def __init__(
        self,
        view: ClusterView,
        address: str,
        port: int,
        *,
        name: str,
        alerts: AlertDesk | None = None,
        reporter: Reporter | None = None,
        operations: web.Application | None = None,
        logs: LiveLogs | None = None,
    ) -> None:
        """`operations` are those of the control API that `bateau` may ask for. Without `logs`, none is shown."""
        instance = Instance(
            snapshots=view.snapshots,
            release=lambda: view.release,
            meter=view.meter,
            logs=logs,
            needs_key=lambda: False,
            restart=_not_here,
            events=view.events,
            alerts=alerts or NoAlerts(),
            keys=None,
            reporter=reporter or NoReporter(),
            on_cluster=True,
        )
        self._dashboard = Dashboard(instance, Sessions(time.monotonic), name=name, specs=None)
        app = web.Application(middlewares=[_own_host, _own_client])
        app.add_routes([web.post(LINKS, self._link), web.get("/", _to_dashboard), web.get(ROOT, _to_dashboard)])
        app.add_subapp(f"{ROOT}/", self._dashboard.application())
        if operations is not None:
            app.add_subapp(OWN, operations)
        self._site = Site(app, address, port, option="--dashboard")

    async def open(self) -> None:
        """Start to listen. Raises ControlError if the address cannot be used."""
        await self._site.open()

    async def close(self) -> None:
        """Stop to listen."""
        await self._dashboard.close()
        await self._site.close()

    async def _link(self, _: web.Request) -> web.Response:
        return web.json_response({"path": self._dashboard.link("operate")})


@web.middleware
async def _own_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    host, _, port = request.host.rpartition(":")
    if (host if port.isdecimal() else request.host) not in _HOSTS:
        raise web.HTTPMisdirectedRequest(text="this is the dashboard of a controller, on loopback only\n")
    return await handler(request)


@web.middleware
async def _own_client(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith(OWN) and LINK_HEADER not in request.headers:
        raise web.HTTPForbidden(text="this is for `bateau open --env` and `bateau alerts --env`\n")
    return await handler(request)


async def _to_dashboard(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"location": f"{ROOT}/"})


async def _not_here(service: str, *, who: str | None) -> Restarted:
    del who
    raise ControlError(f"{service} cannot be restarted from this page", hint="use `bateau restart` or kubectl")
