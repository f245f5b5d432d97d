"""Serve the control plane's HTTP API on a unix socket that only its user can open.

Called by cli.up. The gateway forwards only `/metrics`, the webhooks and the dashboard to it.

Invariant: no request to a model ever arrives here. Held by
tests/traffic/test_control_channel.py::test_of_the_control_api_the_gateway_passes_metrics_webhooks_and_nothing_else.
Invariant: the same holds if a path is read in another way here than in the gateway. Held by
tests/ui/test_security.py::test_a_path_never_leads_out_of_the_dashboard.
Invariant: an untrusted body is read only up to its limit, and only if a handler needs it. Held by
tests/wiring/test_webhook.py::test_a_body_beyond_the_bound_is_refused_before_it_ends.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from bateau.api.alert_routes import AlertDesk, alert_routes
from bateau.api.dashboard_links import Dashboard, link_routes
from bateau.api.figure_routes import figure_routes
from bateau.api.operations import BODY_BYTES_MAX, Handler, Operator, guarded, routes
from bateau.api.status_routes import status_routes
from bateau.control.snapshots import Snapshots
from bateau.domain.errors import ControlError
from bateau.ports.meter import Meter
from bateau.ports.webhook import Webhook

_GATEWAY_HEADER: Final = "x-bateau-gateway"
_PASSED: Final = re.compile(r"/metrics|/-/.+|/ui(?:/.*)?", re.DOTALL)


class ApiServer:
    """Serves the status and the operations of one control plane."""

    def __init__(
        self,
        socket: Path,
        *,
        snapshots: Snapshots,
        metrics: Callable[[], Awaitable[str]],
        stop: asyncio.Event,
        webhooks: Mapping[str, Webhook] | None = None,
        operator: Operator | None = None,
        dashboard: Dashboard | None = None,
        meter: Meter | None = None,
        alerts: AlertDesk | None = None,
    ) -> None:
        self._socket = socket
        self._snapshots = snapshots
        self._metrics = metrics
        self._stop = stop
        self._webhooks = webhooks or {}
        self._operator = operator
        self._dashboard = dashboard
        self._meter = meter
        self._alerts = alerts
        self._runner: web.AppRunner | None = None
        self._site: web.UnixSite | None = None

    @property
    def is_socket_lost(self) -> bool:
        """Whether another program has removed the socket."""
        return self._site is not None and not self._socket.exists()

    async def open(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[guarded, _passed])
        if self._operator:
            app.add_routes(routes(self._operator))
        if self._meter:
            app.add_routes(figure_routes(self._meter))
        if self._alerts:
            app.add_routes(alert_routes(self._alerts))
        if self._dashboard:
            app.add_routes([*link_routes(self._dashboard), web.get("/ui", _to_dashboard)])
            app.add_subapp("/ui/", self._dashboard.application())
        app.add_routes(
            [
                *status_routes(self._snapshots),
                web.get("/metrics", self._get_metrics),
                web.post("/v1/stop", self._post_stop),
                *(web.post(path, self._taking(webhook)) for path, webhook in self._webhooks.items()),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await self._listen(self._runner)

    async def reopen(self) -> None:
        """Listen at a new socket, because the old one was removed. Raises ControlError."""
        if self._runner:
            old = self._site
            await self._listen(self._runner)
            if old:
                await old.stop()

    async def _listen(self, runner: web.AppRunner) -> None:
        self._socket.unlink(missing_ok=True)
        site = web.UnixSite(runner, str(self._socket))
        try:
            await site.start()
        except OSError as error:
            await site.stop()
            hint = "set XDG_RUNTIME_DIR to a shorter path" if "too long" in str(error) else None
            raise ControlError(f"cannot listen at {self._socket}: {error}", hint=hint) from error
        self._socket.chmod(0o600)
        self._site = site

    async def close(self) -> None:
        """Stop listening."""
        if self._runner:
            # A request that still waits would be cut off.
            self._snapshots.end()
            await self._runner.cleanup()
            self._socket.unlink(missing_ok=True)

    async def _get_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=(await self._metrics()).encode(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def _post_stop(self, _: web.Request) -> web.Response:
        self._stop.set()
        return web.json_response({"stopping": True}, status=202)

    def _taking(self, webhook: Webhook) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def post(request: web.Request) -> web.Response:
            try:
                body = await _body(request, bytes_max=webhook.body_bytes_max)
            except (ConnectionError, web.RequestPayloadError):
                says = "the body is incomplete, or does not match its declared encoding"
                return web.json_response({"says": says}, status=400)
            if body is None:
                says = f"the body is larger than {webhook.body_bytes_max:,} bytes"
                return web.json_response({"says": says}, status=413)
            answer = webhook.received(request.headers, body)
            return web.json_response({"says": answer.says}, status=answer.status)

        return post


@web.middleware
async def _passed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse paths that the gateway should not have passed. It marks its requests."""
    if _GATEWAY_HEADER in request.headers and not _PASSED.fullmatch(request.path):
        raise web.HTTPNotFound
    return await handler(request)


async def _to_dashboard(_: web.Request) -> web.Response:
    return web.Response(status=308, headers={"location": "/ui/", "cache-control": "no-store"})


async def _body(request: web.Request, *, bytes_max: int) -> bytes | None:
    """Return the whole body, or None if it is too long. Raises ConnectionError and RequestPayloadError."""
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > bytes_max:
            return None
    return bytes(body)
