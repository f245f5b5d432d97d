"""The operations of a running control plane: preview, apply, roll back and restart.

Called by api.alert_routes and api.server. They are served on a socket that only its user can open.

Invariant: errors in specs are returned as problems with status 200. An operation that the control plane rejects is a
409 with one message and its fix, a malformed request is a 400, and a bug is a 500 whose traceback is in the log. Held
by tests/api/test_operations.py.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from aiohttp import web

from bateau.api.encoding import encode, plain
from bateau.api.preview_json import preview_tree, rolled_back_tree
from bateau.api.requests import (
    ApplyRequest,
    MalformedRequestError,
    PreviewRequest,
    RestartRequest,
    RollbackRequest,
    parsed,
)
from bateau.control.preview import Preview
from bateau.control.restarts import Restarted
from bateau.control.rollback import RolledBack
from bateau.domain.errors import BateauError, bug

logger = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 256 * 2**20
_SEE: Final = "see the OpenAPI document (`bateau schema --api`)"
_REJECTIONS: Final[Mapping[int, str]] = {
    404: "the control API has no such path",
    405: "this path does not have this method",
    413: f"the body is larger than {BODY_BYTES_MAX:,} bytes",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Operator(Protocol):
    """A control plane that accepts operations. All raise BateauError."""

    async def preview(self, texts: Mapping[str, str]) -> Preview:
        """Return the effect of other specs on the running services."""
        ...

    def apply(self, texts: Mapping[str, str], *, commit: str | None) -> str:
        """Make texts the desired state, and return their digest, which appears in the status."""
        ...

    async def rollback(self, service: str, *, to: int | None) -> RolledBack:
        """Hold a service at an earlier revision."""
        ...

    async def restart(self, service: str) -> Restarted:
        """Replace every replica of a service, one after another."""
        ...


def routes(operator: Operator) -> list[web.RouteDef]:
    """Return the routes."""

    async def preview(request: web.Request) -> web.Response:
        asked = parsed(PreviewRequest, await request.read())
        return _answer(preview_tree(await operator.preview(asked.texts)))

    async def apply(request: web.Request) -> web.Response:
        asked = parsed(ApplyRequest, await request.read())
        return _answer({"written": operator.apply(asked.texts, commit=asked.commit)})

    async def rollback(request: web.Request) -> web.Response:
        asked = parsed(RollbackRequest, await request.read())
        return _answer(rolled_back_tree(await operator.rollback(asked.service, to=asked.to)))

    async def restart(request: web.Request) -> web.Response:
        asked = parsed(RestartRequest, await request.read())
        return _answer(plain(await operator.restart(asked.service)))

    return [
        web.post("/v1/preview", preview),
        web.post("/v1/apply", apply),
        web.post("/v1/rollback", rollback),
        web.post("/v1/restart", restart),
    ]


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Convert the exceptions of every handler, and unknown paths, to responses with a status and a message."""
    try:
        return await handler(request)
    except MalformedRequestError as error:
        return _answer({"error": str(error), "hint": f"{_SEE} for the expected form"}, status=400)
    except BateauError as error:
        return _answer({"error": error.message, "hint": error.hint}, status=409)
    except web.HTTPException as error:  # by aiohttp: an unknown path, another method, a body that is too large
        says = _REJECTIONS.get(error.status, f"{error.status} {error.reason}")
        answer = _answer({"error": f"{request.method} {request.path}: {says}", "hint": _SEE}, status=error.status)
        answer.headers.update({name: error.headers[name] for name in ("allow",) if name in error.headers})
        return answer
    except (ConnectionResetError, ConnectionAbortedError):
        raise  # the client has disconnected
    except Exception as error:
        logger.exception("%s %s failed", request.method, request.path)
        says = bug(error)
        return _answer({"error": says, "hint": "`bateau logs control` has the details for a report"}, status=500)


def _answer(tree: object, *, status: int = 200) -> web.Response:
    return web.Response(text=encode(tree), content_type="application/json", status=status)
