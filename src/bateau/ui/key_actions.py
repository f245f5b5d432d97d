"""Create, rotate and revoke keys from a page.

Called by ui.dashboard.

Invariant: a secret is in the answer to the request that made it, and in no other page, address or cache. Held by
tests/ui/test_keys.py::test_a_secret_is_shown_once.
Invariant: only the role admin changes keys, and none of the specs. Held by
tests/ui/test_keys.py::test_only_an_admin_changes_keys and
tests/ui/test_keys.py::test_a_key_of_the_specs_is_not_changed.
Invariant: a key is not rotated or revoked without its name in the confirmation. Held by
tests/ui/test_keys.py::test_a_revocation_is_confirmed_by_the_name.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import htpy as h
from aiohttp import web

from bateau.domain.errors import ControlError
from bateau.ui.frame import document, message
from bateau.ui.guard import RefusedError, form_of, page, session_of
from bateau.ui.instance import Instance
from bateau.ui.key_form import KeyForm, read
from bateau.ui.page import Screen, View
from bateau.ui.pages import key_page, usage_page
from bateau.ui.reports import Need
from bateau.ui.sessions import Session
from bateau.wiring.keys import Keys

logger = logging.getLogger(__name__)


class KeyActions:
    """The changes of one instance's keys."""

    def __init__(self, instance: Instance, keys: Keys) -> None:
        self._instance = instance
        self._keys = keys

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post(usage_page.PATH, self._create), web.post(f"{usage_page.PATH}/keys/{{name}}", self._change)]

    async def _create(self, request: web.Request) -> web.Response:
        session = session_of(request, "admin")
        await self._view(session, {})  # without one, no key is created
        wanted, form = read(await form_of(request), now=time.time())
        if wanted is not None:
            try:
                made, secret = await asyncio.to_thread(self._keys.create, wanted)
            except ControlError as error:
                form = KeyForm(entered=form.entered, errors={"name": error})
            else:
                logger.info("%s has created the key %s", session.actor, made.name)
                return await self._shown_once(session, made.name, secret)
        view = await self._view(session, {})
        return _answer(usage_page.make(view, {}, form), view, session, usage_page.PATH, status=422)

    async def _change(self, request: web.Request) -> web.Response:
        session, name, form = session_of(request, "admin"), request.match_info["name"], await form_of(request)
        try:
            return await self._changed(session, name, form)
        except ControlError as error:
            wrong = f"{error.message}. {error.hint}" if error.hint else error.message
        view = await self._view(session, {"name": name})
        screen = key_page.make(view, {"name": name}, wrong=wrong)
        return _answer(screen, view, session, f"{usage_page.PATH}/keys/{name}", status=HTTPStatus.CONFLICT)

    async def _changed(self, session: Session, name: str, form: Mapping[str, str]) -> web.Response:
        """Rotate or revoke a key, and return the answer. Raises ControlError."""
        keys, action = self._keys, form.get("action")
        key = await asyncio.to_thread(keys.named, name)
        if form.get(key_page.CONFIRMED) != key.name:
            raise ControlError(f"{key.name} was not changed: tick the box that names it first")
        if action == "rotate":
            _, secret = await asyncio.to_thread(keys.rotate, name)
            logger.info("%s has rotated the key %s", session.actor, name)
            return await self._shown_once(session, name, secret)
        if action != "revoke":
            raise ControlError(f"{key.name} was not changed: the form has no action")
        await asyncio.to_thread(keys.revoke, name)
        logger.info("%s has revoked the key %s", session.actor, name)
        return page(message(f"{name} is revoked", _REFUSED, _BACK))

    async def _shown_once(self, session: Session, name: str, secret: str) -> web.Response:
        view = await self._instance.view(session.role, _NEEDS, {"name": name})
        screen = key_page.make(view, {"name": name}, secret=secret) if view else None
        if view is None or screen is None:  # the key is there all the same, and its secret would be lost
            return page(message(f"The secret of {name}", h.code[secret], _ONCE, _BACK))
        return _answer(screen, view, session, f"{usage_page.PATH}/keys/{name}")

    async def _view(self, session: Session, given: Mapping[str, str]) -> View:
        view = await self._instance.view(session.role, _NEEDS, given)
        if view is None:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "Starting", "The control plane starts. Try it again.")
        return view


def _answer(screen: Screen | None, view: View, session: Session, path: str, *, status: int = 200) -> web.Response:
    if screen is None:
        raise web.HTTPNotFound
    parts = {each.id: each.text for each in screen.parts}
    return page(document(screen, parts, path=path, status=view.status, session=session), status=status)


_NEEDS: Final[tuple[Need, ...]] = ("keys", "usage")
_ONCE: Final = "Copy it now. It is stored as a hash and is never shown again."
_REFUSED: Final = "Requests with it are refused from now on; those in flight are finished."
_BACK: Final = h.a(href=f"/ui{usage_page.PATH}")["Usage and keys"]
