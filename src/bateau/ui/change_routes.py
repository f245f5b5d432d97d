"""The forms of the pages about changes. Each one is answered by the page that shows the result.

Called by ui.dashboard.

Invariant: only a session with the role admin changes specs, and one with the role operate rolls a service back. Held by
tests/ui/test_change_security.py::test_a_role_has_only_its_rights.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from aiohttp import web

from bateau.domain.errors import BateauError, ControlError
from bateau.kit.json_value import Scalar
from bateau.ui.changes import Changes, notice_of
from bateau.ui.drafts import Notice
from bateau.ui.frame import ROOT
from bateau.ui.guard import form_of, session_of
from bateau.ui.instance import Instance
from bateau.ui.new_service import spec_text

FIELDS: Final[Mapping[str, tuple[int, int]]] = {
    "spec.replicas": (0, 1000),
    "spec.scale.min": (0, 1000),
    "spec.scale.max": (1, 1000),
    "spec.contextLength": (16, 10_000_000),
}
"""The fields that have a form of their own, with their bounds."""


class ChangeRoutes:
    """The routes for changes of one instance."""

    def __init__(self, instance: Instance, changes: Changes) -> None:
        self._instance = instance
        self._changes = changes

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/change/save", self.save),
            web.post("/change/fields", self._fields),
            web.post("/change/delete", self._delete),
            web.post("/change/bring-back", self._bring_back),
            web.post("/change/discard", self._discard),
            web.post("/change/rebase", self._rebase),
            web.post("/change/apply", self._apply),
            web.post("/change/rollback", self._rollback),
            web.post("/change/promote", self._promote),
            web.post("/new", self._new),
        ]

    async def save(self, request: web.Request) -> web.Response:
        """Take the text of a file into the draft."""
        session, form = session_of(request, "admin"), await form_of(request)
        name = form.get("file", "")
        try:
            self._changes.save(session, name, form.get("text", ""), seen=form.get("seen", ""))
        except BateauError as error:
            session.notice = notice_of(error)
        return _edit(name)

    async def _fields(self, request: web.Request) -> web.Response:
        session, form = session_of(request, "admin"), await form_of(request)
        name, which = form.get("file", ""), (form.get("kind", ""), form.get("name", ""))
        try:
            done = self._changes.set_fields(session, name, which, _values(form))
            session.notice = Notice(f"draft: {done}" if done else "nothing to change: the fields are as before")
        except BateauError as error:
            session.notice = notice_of(error)
        return _edit(name)

    async def _delete(self, request: web.Request) -> web.Response:
        session, form = session_of(request, "admin"), await form_of(request)
        name, kind = form.get("file", ""), form.get("kind")
        try:
            which = (kind, form.get("name", "")) if kind else None
            done = self._changes.delete(session, name, which, seen=form.get("seen", ""))
            session.notice = Notice(f"draft: deletes {done}; nothing is deleted before you apply it")
        except BateauError as error:
            session.notice = notice_of(error)
            return _to("/change")
        return _edit(name) if name in session.draft.files else _to("/change")

    async def _bring_back(self, request: web.Request) -> web.Response:
        session, form = session_of(request, "admin"), await form_of(request)
        revision, _, service = form.get("service", "").partition(" ")
        try:
            if not revision.isdecimal():
                raise ControlError(f"`{revision}` is not a revision", hint="choose a service of the list")
            name = self._changes.bring_back(session, service, int(revision))
        except BateauError as error:
            session.notice = notice_of(error)
            return _to("/change")
        session.notice = Notice(f"draft: {service} as it was in revision {revision}")
        return _edit(name)

    async def _discard(self, request: web.Request) -> web.Response:
        session, form = session_of(request, "admin"), await form_of(request)
        self._changes.discard(session, form.get("file") or None)
        session.notice = Notice("the draft is discarded; no file was changed")
        return _to("/change")

    async def _rebase(self, request: web.Request) -> web.Response:
        session, form = session_of(request, "admin"), await form_of(request)
        self._changes.rebase(session, form.get("file", ""))
        session.notice = Notice("the draft is compared with the file as it is now")
        return _edit(form.get("file", ""))

    async def _apply(self, request: web.Request) -> web.Response:
        session, form = session_of(request, "admin"), await form_of(request)
        try:
            if not form.get("confirmed"):
                raise ControlError(
                    "nothing was applied: the confirmation is missing", hint="read the plan, and tick it"
                )
            status = self._instance.snapshots.latest
            if status is None:
                raise ControlError("the control plane starts", hint="apply it again in a moment")
            says = await self._changes.apply(
                session,
                plan=form.get("plan", ""),
                message=form.get("message", ""),
                status=status,
                release=self._instance.release(),
            )
            session.notice = Notice(f"applied: {says}")
        except BateauError as error:
            session.notice = notice_of(error)
        return _to("/change")

    async def _rollback(self, request: web.Request) -> web.Response:
        session, form = session_of(request, "operate"), await form_of(request)
        try:
            to = form.get("to", "")
            if to and not to.isdecimal():
                raise ControlError(f"`{to}` is not a revision", hint="choose one of the list")
            done = await self._changes.rollback(session, form.get("service", ""), int(to) if to else None)
            session.notice = Notice(done)
        except BateauError as error:
            session.notice = notice_of(error)
        return _to("/change")

    async def _promote(self, request: web.Request) -> web.Response:
        session, form = session_of(request, "admin"), await form_of(request)
        try:
            asked = (form.get(each, "") for each in ("service", "source", "target"))
            session.notice = await self._changes.promote(session, *asked)
        except BateauError as error:
            session.notice = notice_of(error)
        return _to("/change")

    async def _new(self, request: web.Request) -> web.Response:
        session, form = session_of(request, "admin"), await form_of(request)
        try:
            name = self._changes.begin(session, *spec_text(form))
        except BateauError as error:
            session.notice = notice_of(error)
            return _to("/new")
        return _edit(name)


def _values(form: Mapping[str, str]) -> dict[str, Scalar]:
    """Return the fields that a form sets: those that are not empty. Raises ControlError."""
    found: dict[str, Scalar] = {}
    for path, (least, most) in FIELDS.items():
        given = form.get(path, "").strip()
        if not given:
            continue
        if not given.isdecimal() or not least <= int(given) <= most:
            raise ControlError(f"{path.removeprefix('spec.')} must be a whole number from {least} to {most:,}")
        found[path] = int(given)
    return found


def _edit(name: str) -> web.Response:
    return _to(f"/change/edit/{quote(name)}" if name else "/change")


def _to(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"location": ROOT + path, "cache-control": "no-store"})
