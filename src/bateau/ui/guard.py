"""Who may do what: the rules that every request to the dashboard passes, and the headers of every answer.

Called by ui.

The gateway has checked the Host header before. A session is in a cookie that no script and no other site can use. A
request that changes something also comes from a page of this session: the browser names its origin, and the form has
the token of the session.

Sources: Fetch Metadata Request Headers (W3C), "Resource Isolation Policy"; OWASP, "Cross-Site Request Forgery
Prevention"; RFC 6265bis.

Invariant: without a session, nothing about the instance is shown. Held by
tests/ui/test_security.py::test_without_a_session_nothing_is_shown.
Invariant: no request from a page of another origin, or without the token of the session, changes anything. Held by
tests/ui/test_security.py::test_a_request_from_another_origin_is_refused.
Invariant: an error is a page with a message; a traceback is in the log only. Held by
tests/ui/test_dashboard.py::test_a_bug_is_a_page_and_its_traceback_is_in_the_log.
Refused: the token alone. A page of another port of this machine belongs to the same site, so its requests have the
cookie.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web
from aiohttp.typedefs import Middleware

from bateau.domain.errors import BateauError, bug
from bateau.domain.sign_in import Role
from bateau.ui.frame import message
from bateau.ui.sessions import CSRF_FIELD, Session, Sessions

logger = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 64 * 1024
TEXT_BYTES_MAX: Final = 2**20  # of a form with the text of a file
FIELDS_MAX: Final = 100
CSRF_HEADER: Final = "x-csrf-token"
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # With no-referrer, browsers would send forms with the origin null.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_SESSION: Final = web.RequestKey("session", Session)
_TEXT: Final = web.RequestKey("text", str)
_BYTES_MAX: Final = web.RequestKey("bytes_max", int)
_FORM: Final = web.RequestKey("form", dict[str, str])
_SAFE: Final = ("GET", "HEAD")
_OWN: Final = ("same-origin", "none")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RefusedError(Exception):
    """A request is refused. The message says why, and how to do it right."""

    def __init__(self, status: int, title: str, says: str) -> None:
        super().__init__(says)
        self.status = status
        self.title = title
        self.says = says


def guard(
    sessions: Sessions,
    cookie: str,
    *,
    public: Collection[object],
    refusal: Callable[[web.Request], web.Response],
    large: Collection[object] = (),
) -> Middleware:
    """Return the middleware. Requests to `public` handlers need no session: they show nothing about the instance.

    Without a session, other requests get a `refusal`. Forms for `large` handlers may have the text of a file.
    """

    async def check(request: web.Request) -> web.Response | None:
        """Return the refusal of a request, None if it may be handled. Raises RefusedError."""
        _check_origin(request)
        session = sessions.find(request.cookies.get(cookie, ""))
        if session is not None:
            request[_SESSION] = session
            request[_BYTES_MAX] = TEXT_BYTES_MAX if request.match_info.handler in large else BODY_BYTES_MAX
            if request.method not in _SAFE:
                await _check_form(request, session)
        elif request.match_info.handler not in public:
            return refusal(request)
        return None

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await check(request) or await handler(request)
        except (ConnectionResetError, ConnectionAbortedError):
            raise  # the browser has gone
        except Exception as error:  # noqa: BLE001 - the page of a bug; its traceback is in the log
            response = _failed(request, error)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return checked


def _failed(request: web.Request, error: Exception) -> web.Response:
    """Return the page for an exception of a handler."""
    match error:
        case RefusedError():
            return page(message(error.title, error.says), status=error.status)
        case BateauError():
            return page(message("This did not work", error.message, error.hint), status=HTTPStatus.CONFLICT)
        case web.HTTPException():
            return page(message(error.reason, _says(error.status)), status=error.status)
        case _:
            logger.error("%s %s failed", request.method, request.path, exc_info=error)
            says = "`bateau logs control` has the details for a report."
            return page(message("Something is wrong", bug(error), says), status=500)


def session_of(request: web.Request, role: Role = "view") -> Session:
    """Return the session of a request. Raises RefusedError if it does not have the role."""
    session = request[_SESSION]
    if not session.may(role):
        says = f"This needs the role {role}, and you have signed in with the role {session.role}."
        to = f"Sign in with `bateau open --role {role}`"
        if session.person:
            to = f"{to}, or ask an administrator: `{session.person.issuer.roles_claim}` at the issuer gives the role"
        raise RefusedError(HTTPStatus.FORBIDDEN, "Not allowed", f"{says} {to}.")
    return session


def page(text: str, *, status: int = 200) -> web.Response:
    """Return an answer with a page, which no cache keeps."""
    return web.Response(
        text=text, status=status, content_type="text/html", charset="utf-8", headers={"cache-control": "no-store"}
    )


def is_encrypted(request: web.Request) -> bool:
    """Whether the browser has connected to the gateway with TLS. The gateway replaces the header of a client."""
    return request.headers.get("x-forwarded-proto") == "https"


def _check_origin(request: web.Request) -> None:
    """Refuse what a page of another origin has asked for; following a link is allowed."""
    site = request.headers.get("sec-fetch-site")
    is_visit = request.method in _SAFE and request.headers.get("sec-fetch-mode") == "navigate"
    if site is not None and site not in _OWN and not is_visit:
        raise _cross_origin()
    own = f"{'https' if is_encrypted(request) else 'http'}://{request.host}"
    origin = request.headers.get("origin")
    if request.method not in _SAFE and origin != own and not (origin is None and site == "same-origin"):
        raise _cross_origin()


async def _check_form(request: web.Request, session: Session) -> None:
    token = request.headers.get(CSRF_HEADER)
    if token is None:
        token = (await form_of(request)).get(CSRF_FIELD)
    if not session.is_own(token):
        says = "It was not sent from a page of your session. Load the page again, and repeat it."
        raise RefusedError(HTTPStatus.FORBIDDEN, "Not accepted", says)


async def form_of(request: web.Request) -> Mapping[str, str]:
    """Return the fields of a form; of several with one name, the first. Raises RefusedError if it is too large."""
    if _FORM not in request:
        try:
            fields = parse_qs(await _body(request), keep_blank_values=True, max_num_fields=FIELDS_MAX)
        except ValueError as error:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Not accepted", "It has too many fields."
            ) from error
        request[_FORM] = {name: values[0] for name, values in fields.items()}
    return request[_FORM]


async def _body(request: web.Request) -> str:
    """Return the whole body of a form. Raises RefusedError if it is too long."""
    if (known := request.get(_TEXT)) is not None:
        return known
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > request[_BYTES_MAX]:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Not accepted", "The body is too large.")
    request[_TEXT] = body.decode("utf-8", "replace")
    return request[_TEXT]


def _cross_origin() -> RefusedError:
    says = "It comes from a page of another origin. Open the dashboard at its own address."
    return RefusedError(HTTPStatus.FORBIDDEN, "Not accepted", says)


def _says(status: int) -> str:
    return {
        404: "There is no such page. It may be the page of a service that was removed.",
        405: "This address does not have this method.",
    }.get(status, "The request is malformed.")
