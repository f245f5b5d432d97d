"""The pages on which people sign in by an OIDC issuer, and the one that says how to sign in without one.

Called by ui.dashboard.

The browser is sent to the issuer by a link, and comes back with a code by one that another site has made. It does
not send the cookie of a session then (`SameSite=Strict`), so the attempt has a cookie of its own, for five minutes and
for these pages only.

Invariant: a page of the issuer, or whoever forges its answer, leads to pages of the dashboard only. Held by
tests/ui/test_sign_in.py::test_a_sign_in_leads_to_pages_of_the_dashboard_only.
Invariant: nobody gets a session without a mapped role, a state of this browser and a code. Held by
tests/ui/test_sign_in.py::test_without_a_mapped_role_there_is_no_session and
tests/ui/test_sign_in.py::test_a_forged_state_is_refused.
Invariant: without issuers, none of these pages leads anywhere. Held by
tests/ui/test_sign_in.py::test_without_issuers_everything_is_as_before.
"""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import quote

import htpy as h
from aiohttp import web

from bateau.domain.errors import BateauError, ControlError, SourceDenied, SourceUnreachable
from bateau.domain.sign_in import Person, Role, SignInIssuer
from bateau.kit.suggest import listed
from bateau.kit.visible import visible, visible_line
from bateau.ui.attempts import ATTEMPT_S, Attempts
from bateau.ui.frame import ROOT, message
from bateau.ui.guard import RefusedError, is_encrypted, page
from bateau.wiring.sign_in import Attempt, SignedIn

logger = logging.getLogger(__name__)

PATH: Final = "/sign-in"
_BY_LINK: Final = "Run `bateau open` on the machine of this instance, and follow the link that it prints."
_SHOWN_MAX: Final = 10
_CODE_MAX: Final = 2048
# RFC 6749, section 4.1.2.1, and OpenID Connect Core 1.0, section 3.1.2.6.
_SAYS: Final = {
    "access_denied": "Access was denied there.",
    "login_required": "You have not signed in there.",
    "consent_required": "You have not agreed there.",
    "unauthorized_client": "It does not let this client ask for a code.",
    "invalid_scope": "It does not know a scope that was requested.",
    "temporarily_unavailable": "It cannot answer now.",
    "server_error": "It had an error.",
}


class Desk(Protocol):
    """Signs people in. `wiring.sign_in` has the real one, and its methods say what they raise."""

    def issuers(self) -> Sequence[SignInIssuer]:
        """Return the issuers."""
        ...

    def admits(self, person: Person) -> bool:
        """Whether a session of a person continues."""
        ...

    async def address(self, attempt: Attempt, state: str) -> str:
        """Return the URL at which a person signs in."""
        ...

    async def signed_in(self, attempt: Attempt, *, code: str, iss: str | None) -> SignedIn:
        """Return the person who has signed in."""
        ...


class NoIssuers:
    """Nobody signs in by an issuer."""

    def issuers(self) -> Sequence[SignInIssuer]:
        """Return none."""
        return ()

    def admits(self, person: Person) -> bool:
        """Refuse everybody."""
        del person
        return False

    async def address(self, attempt: Attempt, state: str) -> str:
        """Refuse it."""
        del attempt, state
        raise ControlError("this dashboard has no issuers")

    async def signed_in(self, attempt: Attempt, *, code: str, iss: str | None) -> SignedIn:
        """Refuse it."""
        del attempt, code, iss
        raise ControlError("this dashboard has no issuers")


class SignInPages:
    """The pages. `leads` tells if the path of a page exists; `admit` returns the answer that opens a session."""

    def __init__(
        self,
        desk: Desk,
        attempts: Attempts,
        cookie: str,
        *,
        leads: Callable[[str], bool],
        admit: Callable[[web.Request, Person, Role, str], web.Response],
    ) -> None:
        self._desk = desk
        self._attempts = attempts
        self._cookie = f"{cookie}-sign-in"
        self._leads = leads
        self._admit = admit

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, none of which needs a session."""
        return [
            web.get(f"{PATH}/{{issuer}}", self.begin, allow_head=False),
            web.get(f"{PATH}/{{issuer}}/callback", self.end, allow_head=False),
        ]

    def refusal(self, request: web.Request) -> web.Response:
        """Return the page for a request without a session."""
        return self.choose(request.path.removeprefix(ROOT), status=HTTPStatus.UNAUTHORIZED)

    def choose(self, to: str, *, status: int = HTTPStatus.OK) -> web.Response:
        """Return the page with all ways to sign in, which leads to the page at `to`."""
        issuers = self._issuers()
        if issuers is None:
            says = "The issuers cannot be read; `bateau sign-in list` says why."
            return page(message("Sign in", says, _BY_LINK), status=status)
        if not issuers:
            return page(message("Sign in", _BY_LINK), status=status)
        query = f"?to={quote(to)}" if to not in ("", "/") and self._leads(to) else ""
        buttons = [
            h.a(".button.main", href=f"{ROOT}{PATH}/{quote(each.name)}{query}")[f"Sign in with {each.name}"]
            for each in issuers
        ]
        return page(message("Sign in", *buttons, f"Or without an issuer: {_BY_LINK}"), status=status)

    def again(self) -> list[h.Node]:
        """Return a link to sign in again, and how to do it without an issuer."""
        return [h.a(href=ROOT + PATH)["Sign in again"], _BY_LINK] if self._issuers() else [_BY_LINK]

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Send the browser to an issuer."""
        _refuse_advance(request)
        name = request.match_info["issuer"]
        issuer = next((each for each in self._issuers() or () if each.name == name), None)
        if issuer is None:
            raise web.HTTPNotFound
        scheme = "https" if is_encrypted(request) else "http"
        back = f"{scheme}://{request.host}{ROOT}{PATH}/{quote(issuer.name)}/callback"
        attempt = Attempt(issuer=issuer, redirect_uri=back)
        to = request.query.get("to", "/")
        state, browser = self._attempts.begin(attempt, to=to if self._leads(to) else "/")
        try:
            address = await self._desk.address(attempt, state)
        except BateauError as error:
            self._attempts.end(state, browser)
            return self._failed(issuer, error)
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"location": address, "cache-control": "no-store"})
        response.set_cookie(
            self._cookie,
            browser,
            path=ROOT + PATH,
            max_age=int(ATTEMPT_S),
            httponly=True,
            samesite="Lax",
            secure=is_encrypted(request),
        )
        return response

    async def end(self, request: web.Request) -> web.StreamResponse:
        """Take the answer of an issuer, and open a session."""
        _refuse_advance(request)
        asked = request.query
        ended = self._attempts.end(asked.get("state", ""), request.cookies.get(self._cookie, ""))
        if ended is None or ended[0].issuer not in (self._issuers() or ()):
            return self._refused(_UNKNOWN)
        attempt, to = ended
        if attempt.issuer.name != request.match_info["issuer"]:
            return self._refused(_UNKNOWN)
        response = await self._answered(request, attempt, to)
        response.del_cookie(self._cookie, path=ROOT + PATH)
        return response

    async def _answered(self, request: web.Request, attempt: Attempt, to: str) -> web.Response:
        issuer, asked = attempt.issuer, request.query
        if (error := asked.get("error")) is not None:
            says = _SAYS.get(error, "It gave an error that Bateau does not know.")
            return self._refused(f"You were not signed in by {issuer.name}. {says}")
        code = asked.get("code", "")
        if not 0 < len(code) <= _CODE_MAX:
            return self._refused(f"{issuer.name} has answered without a code.")
        try:
            found = await self._desk.signed_in(attempt, code=code, iss=asked.get("iss"))
        except BateauError as error:
            return self._failed(issuer, error)
        if found.role is None:
            logger.warning("%s has no role for the dashboard", visible_line(found.person.actor))
            return self._without_role(found)
        return self._admit(request, found.person, found.role, to)

    def _issuers(self) -> Sequence[SignInIssuer] | None:
        """Return the issuers, None if they cannot be read."""
        try:
            return self._desk.issuers()
        except ControlError as error:
            logger.error("people cannot sign in by an issuer: %s", error.message)
            return None

    def _refused(self, says: str) -> web.Response:
        return page(message("You are not signed in", says, *self.again()), status=HTTPStatus.FORBIDDEN)

    def _failed(self, issuer: SignInIssuer, error: BateauError) -> web.Response:
        """Return the page for an issuer that does not answer, or not as expected.

        Paths and settings of this machine are in the log only: anybody can see the page.
        """
        logger.warning("nobody was signed in by %s: %s", issuer.name, visible_line(error.message))
        is_down = isinstance(error, SourceUnreachable)
        if is_down or isinstance(error, SourceDenied):
            says = [visible(error.message), visible(error.hint or "")]
        else:
            says = [f"Something is wrong with the settings of {issuer.name}. `bateau logs control` has the reason."]
        title = f"{issuer.name} does not answer" if is_down else "You are not signed in"
        status = HTTPStatus.BAD_GATEWAY if is_down else HTTPStatus.FORBIDDEN
        return page(message(title, *filter(None, says), *self.again()), status=status)

    def _without_role(self, found: SignedIn) -> web.Response:
        issuer = found.person.issuer
        shown = [visible_line(each)[:100] for each in found.values[:_SHOWN_MAX]]
        more = len(found.values) - len(shown)
        have = f"has {listed(shown)}{f' and {more} more' if more else ''}" if shown else "is absent or empty"
        return page(
            message(
                "You have no role here",
                f"You have signed in with {issuer.name} as {found.person.name}, and its claim `{issuer.roles_claim}` "
                f"{have}. None of these values has a role in this dashboard.",
                "Ask an administrator of this instance: `bateau sign-in list` shows the values that have a role.",
                *self.again(),
            ),
            status=HTTPStatus.FORBIDDEN,
        )


_UNKNOWN: Final = (
    "This sign-in was begun in another browser or tab, longer than five minutes ago, or it was used already. "
    "Begin again."
)


def _refuse_advance(request: web.Request) -> None:
    """Refuse a page that a browser loads in advance: it would use a code up, or begin a sign-in that nobody wants."""
    if "prefetch" in request.headers.get("sec-purpose", ""):
        raise RefusedError(HTTPStatus.FORBIDDEN, "Not accepted", "This page is not loaded in advance.")
