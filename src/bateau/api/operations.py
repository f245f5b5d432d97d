"""Define the operations of a running control plane: preview, apply and rollback.

Called by api.server, which serves these routes on the socket that only its user can open.

Invariant: errors in the specs are returned as problems with status 200. A refused operation is a 409 with one message
and a hint.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from aiohttp import web

from bateau.api.encoding import encode
from bateau.api.preview_json import preview_tree, rolled_back_tree
from bateau.control.preview import Preview
from bateau.control.rollback import RolledBack
from bateau.domain.errors import BateauError

BODY_BYTES_MAX: Final = 256 * 2**20


class Operator(Protocol):
    """A control plane that accepts operations. All raise BateauError."""

    def preview(self, texts: Mapping[str, str]) -> Preview:
        """Return the effect that other texts would have on the running services."""
        ...

    def apply(self, texts: Mapping[str, str], *, commit: str | None) -> str:
        """Make texts the desired state, and return their digest, which appears in the status."""
        ...

    def rollback(self, service: str, *, to: int | None) -> RolledBack:
        """Hold a service at an earlier revision."""
        ...


def routes(operator: Operator) -> list[web.RouteDef]:
    """Return the routes."""

    async def preview(request: web.Request) -> web.Response:
        body = await request.json()
        return _answer(preview_tree(operator.preview(body["texts"])))

    async def apply(request: web.Request) -> web.Response:
        body = await request.json()
        return _answer({"written": operator.apply(body["texts"], commit=body.get("commit"))})

    async def rollback(request: web.Request) -> web.Response:
        body = await request.json()
        return _answer(rolled_back_tree(operator.rollback(body["service"], to=body.get("to"))))

    return [
        web.post("/v1/preview", _guarded(preview)),
        web.post("/v1/apply", _guarded(apply)),
        web.post("/v1/rollback", _guarded(rollback)),
    ]


def _guarded(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def guarded(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except BateauError as error:
            return _answer({"error": error.message, "hint": error.hint}, status=409)
        except (ValueError, KeyError, TypeError) as error:
            return _answer({"error": f"the request is malformed: {error}", "hint": None}, status=400)

    return guarded


def _answer(tree: Any, *, status: int = 200) -> web.Response:
    return web.Response(text=encode(tree), content_type="application/json", status=status)
