"""What people do about alerts on the dashboard: silence them, end a silence, and test the receivers.

Called by ui.cluster_dashboard, ui.dashboard and ui.instance.

Invariant: a session with the role view changes nothing about alerts. Held by
tests/ui/test_alerts.py::test_a_viewer_may_not_silence.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, Protocol

from aiohttp import web

from bateau.domain.alert import AlertBoard, Silence, Trial
from bateau.domain.errors import ControlError
from bateau.ui.guard import session_of

_SECONDS_MAX: Final = 366 * 86_400
_WHY_MAX: Final = 500


class AlertDesk(Protocol):
    """The alerts of an instance. `silence` and `unsilence` raise BateauError."""

    def board(self) -> AlertBoard:
        """Return the alerts, silences and receivers: the same object until one has changed."""
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


class NoAlerts:
    """An instance without alerts."""

    def board(self) -> AlertBoard:
        """Return none."""
        return _NONE

    def silence(self, *, service: str | None, name: str | None, for_s: float, why: str, by: str) -> Silence:
        """Refuse it."""
        del service, name, for_s, why, by
        raise ControlError("this instance has no alerts")

    def unsilence(self, silence: str) -> Silence:
        """Refuse it."""
        raise ControlError(f"there is no silence {silence}")

    async def test(self) -> Sequence[Trial]:
        """Test none."""
        return ()


_NONE: Final = AlertBoard()


def alert_actions(desk: AlertDesk) -> list[web.RouteDef]:
    """Return the routes. Their values are in the query: they are short, and none is a secret."""

    async def silence(request: web.Request) -> web.Response:
        session = session_of(request, "operate")
        asked = request.query
        made = desk.silence(
            service=asked.get("service") or None,
            name=asked.get("alert") or None,
            for_s=_seconds(asked.get("for", "")),
            why=asked.get("why", "").strip()[:_WHY_MAX] or "silenced on the dashboard",
            by=session.actor,
        )
        return _says(f"silenced until {_clock(made.until)}")

    async def unsilence(request: web.Request) -> web.Response:
        session_of(request, "operate")
        desk.unsilence(request.match_info["silence"])
        return _says("the silence has ended")

    async def test(request: web.Request) -> web.Response:
        session_of(request, "operate")
        found = await desk.test()
        return _says("; ".join(f"{each.receiver}: {each.error or 'delivered'}" for each in found) or "no receivers")

    return [
        web.post("/alerts/silence", silence),
        web.post("/alerts/unsilence/{silence}", unsilence),
        web.post("/alerts/test", test),
    ]


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) <= _SECONDS_MAX:
        raise ControlError("a silence needs a time", hint="choose one")
    return float(text)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _says(text: str) -> web.Response:
    return web.json_response({"says": text}, status=HTTPStatus.ACCEPTED)
