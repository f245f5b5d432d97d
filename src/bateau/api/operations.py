"""What can be asked of a running control plane beyond its status: to preview, to apply and to roll back.

Called by api.server, which serves these routes on the socket that only its user can open.

Invariant: what people wrote wrong comes back as problems with status 200; what the control plane refuses is a 409 with
one message and how to mend it.
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
    """A control plane that can be told what to do. All raise BateauError."""

    def preview(self, texts: Mapping[str, str]) -> Preview:
        """Return what other texts would do to what runs."""
        ...

    def apply(self, texts: Mapping[str, str], *, commit: str | None) -> str:
        """Make texts the desired state, and return what stands for them in the status."""
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
