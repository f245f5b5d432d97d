"""Serve the alerts of a control plane: list, silence and test them.

Called by api.server and cli.controller.
"""

from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from bateau.api.alert_json import alert_json, silence_json
from bateau.api.encoding import encode
from bateau.api.operations import BODY_BYTES_MAX, guarded
from bateau.api.requests import SilenceRequest, UnsilenceRequest, parsed
from bateau.domain.alert import Alert, AlertBoard, Silence, Trial


class AlertDesk(Protocol):
    """The alerts of a control plane. `silence` and `unsilence` raise BateauError."""

    def board(self) -> AlertBoard:
        """Return the alerts, silences and receivers."""
        ...

    def link(self, alert: Alert) -> str:
        """Return the address of the page of an alert."""
        ...

    def silence(self, *, service: str | None, name: str | None, for_s: float, why: str, by: str) -> Silence:
        """Keep alerts back for a while."""
        ...

    def unsilence(self, silence: str) -> Silence:
        """End a silence."""
        ...

    async def test(self) -> Sequence[Trial]:
        """Send a test alert to every receiver."""
        ...


def alert_application(desk: AlertDesk) -> web.Application:
    """Return an application with nothing but the routes."""
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[guarded])
    app.add_routes(alert_routes(desk))
    return app


def alert_routes(desk: AlertDesk) -> list[web.RouteDef]:
    """Return the routes."""

    async def get(_: web.Request) -> web.Response:
        board = desk.board()
        tree = {
            "alerts": [alert_json(each.alert, desk.link(each.alert), each.silence) for each in board.firing],
            "ended": [alert_json(each, desk.link(each)) for each in board.ended],
            "silences": [silence_json(each) for each in board.silences],
            "receivers": [{"name": name, "error": error} for name, error in board.receivers],
        }
        return _answer(tree)

    async def silence(request: web.Request) -> web.Response:
        asked = parsed(SilenceRequest, await request.read())
        made = desk.silence(service=asked.service, name=asked.alert, for_s=asked.seconds, why=asked.why, by=asked.by)
        return _answer(silence_json(made))

    async def unsilence(request: web.Request) -> web.Response:
        asked = parsed(UnsilenceRequest, await request.read())
        return _answer(silence_json(desk.unsilence(asked.silence)))

    async def test(_: web.Request) -> web.Response:
        found = await desk.test()
        return _answer({"receivers": [{"name": each.receiver, "error": each.error} for each in found]})

    return [
        web.get("/v1/alerts", get),
        web.post("/v1/alerts/silence", silence),
        web.post("/v1/alerts/unsilence", unsilence),
        web.post("/v1/alerts/test", test),
    ]


def _answer(tree: object) -> web.Response:
    return web.Response(text=encode(tree), content_type="application/json")
