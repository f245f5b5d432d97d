"""Serve the status as numbered snapshots: the latest one, the next one after a given number, or a stream of all.

Called by api.server.
Source: Server-Sent Events, WHATWG HTML, section 9.2.

Invariant: while nothing changes, a stream sends only a comment from time to time, and encodes nothing. Held by
tests/api/test_status_stream.py.
"""

import asyncio

from aiohttp import web

from bateau.api.encoding import StatusEncoder
from bateau.api.requests import MalformedRequestError
from bateau.control.snapshots import Snapshots
from bateau.domain.status import Status

WAIT_S_MAX = 60.0
KEEP_ALIVE_S = 15.0


def status_routes(snapshots: Snapshots) -> list[web.RouteDef]:
    """Return the routes."""
    encoded = _Encoded()

    async def status(request: web.Request) -> web.Response:
        after, wait_s = _number(request, "after"), _number(request, "wait")
        found = snapshots.latest
        if after is not None and (found is None or found.number == after):
            found = await _within(snapshots, after, min(wait_s if wait_s is not None else WAIT_S_MAX, WAIT_S_MAX))
        if found is None:
            return web.json_response({"error": "the control plane is starting", "hint": None}, status=503)
        return web.Response(text=encoded.text(found), content_type="application/json")

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
        await response.prepare(request)
        number = -1
        while not snapshots.ended:
            found = await _within(snapshots, number, KEEP_ALIVE_S)
            if found is None or found.number == number:
                await response.write(b": nothing has changed\n\n")
                continue
            number = found.number
            await response.write(f"id: {number}\nevent: status\ndata: {encoded.text(found)}\n\n".encode())
        return response

    return [web.get("/v1/status", status), web.get("/v1/status/stream", stream)]


class _Encoded:
    """The latest snapshot as JSON, encoded once for all readers: with many services that takes a while."""

    def __init__(self) -> None:
        self._encoder = StatusEncoder()
        self._status: Status | None = None
        self._text = ""

    def text(self, status: Status) -> str:
        """Return the JSON of a snapshot."""
        if status is not self._status:
            self._status, self._text = status, self._encoder.text(status)
        return self._text


async def _within(snapshots: Snapshots, after: float, wait_s: float) -> Status | None:
    """Return the first snapshot whose number is not `after`, or the latest one after `wait_s` seconds."""
    try:
        async with asyncio.timeout(wait_s):
            return await snapshots.after(after)
    except TimeoutError:
        return snapshots.latest


def _number(request: web.Request, name: str) -> float | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        raise MalformedRequestError(f"?{name}={text}: expected a number") from None
    if not 0 <= number < 2**53:  # also rejects nan
        raise MalformedRequestError(f"?{name}={text}: expected 0 or more")
    return number
