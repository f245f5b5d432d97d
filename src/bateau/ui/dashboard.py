"""Serve the dashboard: its pages, their stream of updates, the files they load, and signing in and out.

Called by cli.up and ui.cluster_dashboard.

Invariant: nobody but the user of this machine can make a link: that takes the socket of the control API. Held by
tests/traffic/test_dashboard.py::test_the_gateway_passes_the_dashboard_and_nothing_beside_it.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import htpy as h
from aiohttp import web

from bateau.domain.sign_in import Person, Role
from bateau.ports.meter import Meter
from bateau.ui.alert_actions import alert_actions
from bateau.ui.assets import assets
from bateau.ui.attempts import Attempts
from bateau.ui.change_routes import ChangeRoutes
from bateau.ui.changes import Changes, Specs
from bateau.ui.frame import ROOT, document, message
from bateau.ui.guard import RefusedError, guard, is_encrypted, page, session_of
from bateau.ui.instance import Instance
from bateau.ui.key_actions import KeyActions
from bateau.ui.live import Made, Stream, event_text
from bateau.ui.page import Page, View
from bateau.ui.pages import PAGES
from bateau.ui.reports import InstanceReporter
from bateau.ui.sessions import Session, Sessions
from bateau.ui.sign_in import PATH, Desk, NoIssuers, SignInPages
from bateau.wiring.changing import changing_of
from bateau.wiring.local import LocalPlatform
from bateau.wiring.logs import logs_of
from bateau.wiring.recent_events import RecentEvents
from bateau.wiring.sign_in import SignIn
from bateau.wiring.sign_in_issuers import SignInIssuers

logger = logging.getLogger(__name__)

STREAMS_MAX: Final = 100
_YEAR: Final = "private, max-age=31536000, immutable"


class Dashboard:
    """The dashboard of one instance. `name` tells its cookie from that of another instance on this machine."""

    def __init__(
        self,
        instance: Instance,
        sessions: Sessions,
        *,
        name: str,
        specs: Specs | None,
        desk: Desk | None = None,
    ) -> None:
        """With a `desk`, people may sign in by an issuer."""
        self._instance = instance
        self._specs = specs
        self._changes = Changes(specs) if specs else None
        self._pages = [each for each in PAGES if each.on_clusters or not instance.on_cluster]
        self._sessions = sessions
        self._cookie = f"bateau-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        self._entrance = SignInPages(
            desk or NoIssuers(),
            Attempts(sessions.clock),
            self._cookie,
            leads=lambda path: self._page_at(path) is not None,
            admit=self._admit,
        )
        self._made = Made()
        self._streams = 0

    def link(self, role: Role) -> str:
        """Return the path of a new link, which opens one session with a role."""
        return f"{ROOT}/sign-in?link={self._sessions.link(role)}"

    def application(self) -> web.Application:
        """Return the application, for the paths below `ROOT`."""
        entrance = self._entrance
        public = (self._asset, self._sign_in, entrance.begin, entrance.end)
        changing = ChangeRoutes(self._instance, self._changes) if self._changes else None
        large = (changing.save,) if changing else ()
        checked = guard(self._sessions, self._cookie, public=public, refusal=entrance.refusal, large=large)
        app = web.Application(middlewares=[checked])
        app.add_routes(
            [
                web.get("/assets/{name}", self._asset),
                web.get(PATH, self._sign_in, allow_head=False),
                *entrance.routes(),
                web.post("/sign-out", self._sign_out),
                web.get("/live", self._live, allow_head=False),
                web.post("/services/{kind}/{name}/restart", self._restart),
                *alert_actions(self._instance.alerts),
                *(KeyActions(self._instance, self._instance.keys).routes() if self._instance.keys else ()),
                *(changing.routes() if changing else ()),
                web.get("/{path:.*}", self._page),
            ]
        )
        return app

    async def close(self) -> None:
        """End the processes that work for the pages."""
        if self._specs:
            self._specs.close()
        await self._instance.reporter.close()

    async def _page(self, request: web.Request) -> web.StreamResponse:
        session = session_of(request)
        path = "/" + request.match_info["path"]
        found = self._page_at(path)
        view = await self._view(session, found)
        if view is None:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "Starting", "The control plane starts. Load this again.")
        known = self._made.of(found[0], path, found[1], view) if found else None
        if known is None or known.screen is None:
            raise web.HTTPNotFound
        if view.change:
            session.notice = None  # it is shown once
        shown = document(
            known.screen,
            known.parts,
            path=path,
            status=view.status,
            session=session,
            have=known.digest,
            pages=self._pages,
            whole=request.query.get("rows") == "all",
        )
        response = page(shown)
        response.enable_compression()
        return response

    async def _view(self, session: Session, found: tuple[Page, Mapping[str, str]] | None) -> View | None:
        """Return what a session may see now; None while the control plane starts."""
        if found is None:
            return await self._instance.view(session.role)
        shown, given = found
        view = await self._instance.view(session.role, shown.needs, given)
        if view is None or not shown.aspect or self._changes is None:
            return view
        return replace(view, change=await self._changes.view(session, shown.aspect, view.status, view.release))

    def _page_at(self, path: str) -> tuple[Page, Mapping[str, str]] | None:
        return next(((each, given) for each in self._pages if (given := each.match(path)) is not None), None)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        session_of(request)
        path = request.query.get("path", "")
        found = self._page_at(path)
        if found is None:
            raise web.HTTPNotFound
        if self._streams >= STREAMS_MAX:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are open", "Close some, and try again.")
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
        await response.prepare(request)

        async def send(event: str, data: Mapping[str, object]) -> None:
            await response.write(event_text(event, data))

        def role() -> Role | None:
            session = self._sessions.find(request.cookies.get(self._cookie, ""))
            return session.role if session else None

        async def view() -> View | None:
            session = self._sessions.find(request.cookies.get(self._cookie, ""))
            return await self._view(session, found) if session else None

        self._streams += 1
        try:
            have = request.query.get("have", "")
            stream = Stream(self._instance, self._made, path=path, page=found[0], given=found[1], have=have, view=view)
            await stream.run(send, role)
        except ConnectionError:
            pass  # the browser has gone
        finally:
            self._streams -= 1
        return response

    async def _restart(self, request: web.Request) -> web.Response:
        session = session_of(request, "operate")
        service = f"{request.match_info['kind']}/{request.match_info['name']}"
        restarted = await self._instance.restart(service, who=session.who)
        return web.json_response({"says": f"{restarted.service} restarts"}, status=HTTPStatus.ACCEPTED)

    async def _asset(self, request: web.Request) -> web.Response:
        found = assets().get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        headers = {"content-type": found.content_type, "cache-control": _YEAR, "vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return web.Response(body=found.packed, headers={**headers, "content-encoding": "gzip"})
        return web.Response(body=found.body, headers=headers)

    async def _sign_in(self, request: web.Request) -> web.Response:
        if "link" not in request.query:
            return self._entrance.choose(request.query.get("to", "/"))
        # A browser that loads pages in advance would use the link up.
        is_advance = "prefetch" in request.headers.get("sec-purpose", "")
        secret = None if is_advance else self._sessions.open(request.query.get("link", ""))
        if secret is None:
            says = "A link works once, for five minutes. Run `bateau open` again, and follow the new one."
            raise RefusedError(HTTPStatus.FORBIDDEN, "This link cannot be used", says)
        return self._opened(request, secret, request.query.get("to", "/"))

    def _admit(self, request: web.Request, person: Person, role: Role, to: str) -> web.Response:
        logger.info("%s has signed in to the dashboard with the role %s", person.actor, role)
        return self._opened(request, self._sessions.begin(role, person), to)

    def _opened(self, request: web.Request, secret: str, to: str) -> web.Response:
        """Return the page that gives the browser its session, and leads to the page at `to`."""
        # Not a redirect: after one, a browser that came from another site would keep the cookie back.
        to = ROOT + (to if self._page_at(to) else "/")
        response = page(message("Signed in", ["Continue to ", h.a(href=to)["the dashboard"], "."], to=to))
        response.set_cookie(
            self._cookie, secret, path=ROOT, httponly=True, samesite="Strict", secure=is_encrypted(request)
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        person = session_of(request).person
        self._sessions.close(request.cookies.get(self._cookie, ""))
        says = [f"You are still signed in at {person.issuer.name}; sign out there, too."] if person else []
        response = page(message("Signed out", *says, *self._entrance.again()))
        response.del_cookie(self._cookie, path=ROOT)
        return response


def dashboard_of(platform: LocalPlatform, meter: Meter) -> Dashboard:
    """Return the dashboard of an instance of this machine. It shares its meter with the control API."""
    where = platform.settings.paths
    instance = Instance(
        snapshots=platform.control.snapshots,
        release=lambda: platform.control.release,
        meter=meter,
        logs=logs_of(where),
        needs_key=platform.keys.are_needed,
        restart=platform.restart,
        events=RecentEvents(where).now,
        alerts=platform.alerts,
        keys=platform.keys,
        reporter=InstanceReporter(platform),
    )
    settings, clock = platform.settings, platform.clock
    desk = SignIn(SignInIssuers(settings.instance, settings.environ), clock, settings.environ)
    return Dashboard(
        instance,
        Sessions(clock.monotonic, desk.admits),
        name=str(where.state),
        specs=changing_of(platform),
        desk=desk,
    )
