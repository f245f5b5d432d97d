"""What a session may do with the specs: write a draft, delete documents in it, plan it, apply it, and roll back.

Called by ui.change_routes and ui.dashboard.

Invariant: only a plan that was shown is applied: one that is out of date is refused. Held by
tests/ui/test_change.py::test_a_plan_that_is_out_of_date_is_not_applied.
Invariant: a draft that adds errors is not applied. Held by
tests/ui/test_change.py::test_an_error_is_shown_at_its_line_and_not_applied.
Invariant: only a text that was read is deleted. Held by
tests/ui/test_change_deletion.py::test_a_text_that_was_not_read_is_not_deleted.
"""

from collections.abc import Awaitable, Mapping, Sequence
from itertools import chain, count
from typing import Final, Protocol

from bateau.control.preview import Preview
from bateau.control.rollback import RolledBack
from bateau.domain.errors import BateauError, ControlError
from bateau.domain.offered import Offered
from bateau.domain.problem import Problem, Severity
from bateau.domain.revision import Commit, Revision
from bateau.domain.status import Follows, Status
from bateau.domain.text_change import TextChange
from bateau.kit.json_value import Scalar
from bateau.kit.suggest import listed
from bateau.kit.yaml_edit import document_text, edited, without_document
from bateau.ui.change_view import Aspect, ChangeView
from bateau.ui.drafts import (
    UNKNOWN,
    Draft,
    Notice,
    Planned,
    PlanOf,
    as_browsers_send,
    digest,
    documents_in,
    why_not_editable,
)
from bateau.ui.secret_text import secret_at
from bateau.ui.sessions import Session
from bateau.wiring.changing import why_not_a_name
from bateau.wiring.promotion import Promoted

APPLIED: Final = "the specs were given by `bateau apply`; change the files there, and apply them again"
_ROLE: Final = "changes need the role admin; sign in with `bateau open`"


class Specs(Protocol):
    """The specs of a running instance. `wiring.changing` has the real ones."""

    @property
    def follows(self) -> Follows:
        """Where the desired state comes from."""
        ...

    @property
    def texts(self) -> Mapping[str, str]:
        """The specs that were read last, by file name: the same object until they are read again."""
        ...

    @property
    def default(self) -> Mapping[str, str]:
        """Those of them that stand in because there are none; they are in no file."""
        ...

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that the specs have."""
        ...

    @property
    def held(self) -> Mapping[str, int]:
        """The services that a rollback holds, each with its revision."""
        ...

    @property
    def commit(self) -> Commit | None:
        """The commit that is followed, None without a repository."""
        ...

    def revisions(self) -> tuple[Revision, ...] | None:
        """Return the latest revisions, the newest first. None: they cannot be read."""
        ...

    def newest_revisions(self) -> Mapping[str, int]:
        """Return every service of the history, with the newest revision that has it."""
        ...

    def texts_of(self, revision: int) -> Mapping[str, str]:
        """Return the specs of a revision. Raises ControlError."""
        ...

    def offered(self) -> Awaitable[Sequence[Offered]]:
        """Return the models of the catalogue."""
        ...

    async def preview(self, draft: Mapping[str, TextChange]) -> Preview:
        """Return the effect of a draft. Raises ControlError."""
        ...

    async def apply(self, draft: Mapping[str, TextChange], *, message: str, author: str | None, who: str | None) -> str:
        """Write or commit a draft for an author, and return a sentence about that. A revision is by `who`.

        Raises BateauError; then nothing was changed.
        """
        ...

    async def promote(self, service: str | None, *, source: str, target: str, author: str | None) -> Promoted:
        """Copy the pinned versions of an environment to another one, as a commit. Raises BateauError."""
        ...

    async def rollback(self, service: str, *, to: int | None, who: str | None) -> RolledBack:
        """Hold a service at an earlier revision, for `who`. Raises ControlError."""
        ...

    def close(self) -> None:
        """End the process that reads drafts."""
        ...


class Changes:
    """The changes of all sessions."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs
        self._plans = 0

    async def view(self, session: Session, needs: Aspect, status: Status, release: object) -> ChangeView:
        """Return what a session may see, with the plan of its draft."""
        specs = self._specs
        return ChangeView(
            token=session.token,
            follows=specs.follows,
            why_read_only=self._why_read_only(session),
            texts=specs.texts,
            default=frozenset(specs.default),
            environments=specs.environments,
            commit=specs.commit,
            held=specs.held,
            revisions=specs.revisions(),
            newest_revisions=specs.newest_revisions(),
            draft=session.draft,
            planned=await self._planned(session, status, release),
            notice=session.notice,
            offered=tuple(await specs.offered()) if needs == "new" else (),
        )

    def save(self, session: Session, name: str, text: str, *, seen: str) -> None:
        """Make a text of a form a part of the draft. `seen` is the digest of the text that the form was made from.

        Raises ControlError.
        """
        self._may_write(session)
        if why := why_not_a_name(name):
            raise ControlError(f"`{name}` is not the name of a spec file: it {why}")
        current = None if name in self._specs.default else self._specs.texts.get(name)
        drafted = session.draft.files.get(name)
        shown = drafted.after if drafted else self._specs.texts.get(name)
        before = drafted.before if drafted else current
        if seen != digest(shown):
            before = before if drafted else UNKNOWN
        after = as_browsers_send(text, shown)
        if why := why_not_editable(after):
            raise ControlError(f"the text of {name} was not taken: {why}")
        self._put(session, name, TextChange(before=before, after=after))

    def set_fields(self, session: Session, name: str, which: tuple[str, str], values: Mapping[str, Scalar]) -> str:
        """Set fields of a document in the text of a file, and return the changes. Raises ControlError."""
        self._may_write(session)
        drafted = session.draft.files.get(name)
        current = None if name in self._specs.default else self._specs.texts.get(name)
        text = drafted.after if drafted else self._specs.texts.get(name)
        if text is None:
            raise ControlError(f"there is no file {name}")
        made = edited(name, text, which, values)
        if made.flaws:
            flaw = made.flaws[0]
            raise ControlError(f"{flaw.position}: {flaw.says}", hint=flaw.hint)
        self._put(session, name, TextChange(before=drafted.before if drafted else current, after=made.text))
        return listed(
            f"{each.path.removeprefix('spec.')} {_brief(each.before)} → {each.after}" for each in made.changes
        )

    def delete(self, session: Session, name: str, which: tuple[str, str] | None, *, seen: str) -> str:
        """Delete a document of a file in the draft, or the file (None, or its last document). Return the deletion.

        `seen` is the digest of the text that the form was made from. Raises ControlError.
        """
        self._may_write(session)
        drafted = session.draft.files.get(name)
        text = drafted.after if drafted else self._specs.texts.get(name)
        if text is None:
            raise ControlError(f"there is no file {name}")
        if drafted is None and name in self._specs.default:
            raise ControlError(f"{name} is in no file yet, so it cannot be deleted", hint="add a service instead of it")
        if seen != digest(text):
            hint = "check its text, and delete it again"
            raise ControlError(f"{name} has changed since you have read it, so nothing was deleted", hint=hint)
        after = None
        if which is not None:
            made = without_document(name, text, which)
            if made.flaws:
                raise ControlError(f"{made.flaws[0].position}: {made.flaws[0].says}", hint=made.flaws[0].hint)
            after = made.text or None
        before = drafted.before if drafted else text
        self._put(session, name, TextChange(before=before, after=after))
        return f"the file {name}" if after is None or which is None else f"{which[0]} {which[1]} in {name}"

    def bring_back(self, session: Session, service: str, revision: int) -> str:
        """Add the document that a deleted service had in a revision to the draft. Return the name of its file.

        Raises ControlError.
        """
        self._may_write(session)
        drafted = {name: each.after for name, each in session.draft.files.items()}
        shown = {name: text for name, text in {**self._specs.texts, **drafted}.items() if text is not None}
        if _places(service, shown):
            raise ControlError(f"{service} is in the specs or in the draft already")
        then = self._specs.texts_of(revision)
        places = _places(service, then)
        name, which = places[0] if len(places) == 1 else ("", ("", ""))
        own = document_text(name, then[name], which) if name else None
        if own is None:
            raise ControlError(f"revision {revision} has no document of {service} that could be brought back")
        if where := secret_at(name, own):
            hint = "bring it back on the machine, with the secret in a variable"
            raise ControlError(f"the document of {service} has the value of a secret at {where}", hint=hint)
        rest = shown.get(name)
        end = "\r\n" if rest and "\r\n" in rest else "\n"
        after = (
            own if rest is None else f"{rest}{'' if rest.endswith(end) else end}---{end}{as_browsers_send(own, rest)}"
        )
        known = session.draft.files.get(name)
        current = None if name in self._specs.default else self._specs.texts.get(name)
        self._put(session, name, TextChange(before=known.before if known else current, after=after))
        return name

    def begin(self, session: Session, name: str, text: str) -> str:
        """Begin a new file with a text, and return its name, which is another one if there is such a file already."""
        self._may_write(session)
        taken = {*self._specs.texts, *session.draft.files}
        stem, dot, ending = name.rpartition(".")
        names = chain((name,), (f"{stem}-{number}{dot}{ending}" for number in count(2)))
        free = next(each for each in names if each not in taken)
        self._put(session, free, TextChange(before=None, after=text))
        return free

    def discard(self, session: Session, name: str | None) -> None:
        """Forget the draft of a file, or all of it."""
        session.draft = session.draft.without(name)

    def rebase(self, session: Session, name: str) -> None:
        """Keep the text of a draft, and compare it with the file as it is now."""
        self._may_write(session)
        if drafted := session.draft.files.get(name):
            current = None if name in self._specs.default else self._specs.texts.get(name)
            session.draft = session.draft.with_file(name, TextChange(before=current, after=drafted.after))

    async def apply(self, session: Session, *, plan: str, message: str, status: Status, release: object) -> str:
        """Apply the draft, and return a sentence about that. `plan` is the number of the plan that was read.

        Raises BateauError; then nothing was changed, and the draft is as before.
        """
        self._may_write(session)
        draft = session.draft
        if not draft.files:
            raise ControlError("there is no draft to apply", hint="edit a file first")
        planned = await self._planned(session, status, release)
        if planned is None or str(planned.number) != plan:
            hint = "read the plan below, and apply it again"
            raise ControlError("the plan has changed since you have read it, so nothing was applied", hint=hint)
        if not planned.can_be_applied:
            raise ControlError("the draft has errors, so nothing was applied", hint="fix them, and apply it again")
        author = session.person.author if session.person else None
        message = message.strip() or _message(draft)
        says = await self._specs.apply(draft.files, message=message, author=author, who=session.who)
        if session.draft is draft:
            session.draft = draft.without(None)
        return says

    async def rollback(self, session: Session, service: str, to: int | None) -> str:
        """Roll a service back, and return a sentence about that. Raises ControlError."""
        made = await self._specs.rollback(service, to=to, who=session.who)
        stays = "it stays there until its spec changes"
        return f"{made.before.key} is rolled back to revision {made.revision.id}; {stays}"

    async def promote(self, session: Session, service: str, source: str, target: str) -> Notice:
        """Copy the pinned versions of an environment to another one. Raises BateauError."""
        self._may_write(session)
        missing = [each for each in (source, target) if each not in self._specs.environments]
        if missing or source == target:
            there = ", ".join(self._specs.environments) or "none"
            raise ControlError("a promotion needs two environments", hint=f"choose two of: {there}")
        author = session.person.author if session.person else None
        chosen = service.rpartition("/")[2] or None
        found = await self._specs.promote(chosen, source=source, target=target, author=author)
        left = [*found.promotion.left, *found.differing, *found.unknown]
        if problems := [f"{each.where}: {each.says}" for each in found.promotion.problems]:
            return Notice("\n".join(["nothing was promoted", *problems]), bad=True)
        if found.commit is None:
            says = "could not be promoted" if left else f"{target} pins the versions that {source} pins"
            return Notice("\n".join([f"nothing was promoted: {says}", *left]), bad=bool(left))
        is_pushed = self._specs.follows == "repository"
        done = [
            f"commit {found.commit.short} is on branch {found.branch} of the {'repository' if is_pushed else 'clone'}",
            *found.promotion.changes,
            *left,
        ]
        backwards = f"{source} comes after {target}: this carries its pins back; " if found.backwards else ""
        merge = "merge it into the followed branch to apply it; " if is_pushed else ""
        there = f"origin/{found.branch}" if is_pushed else found.branch
        return Notice("\n".join(done), f"{backwards}{merge}see `bateau plan --env {target} HEAD..{there}`")

    def _put(self, session: Session, name: str, change: TextChange) -> None:
        """Change the draft. Specs that stand in for none become files, so that they continue to run."""
        draft = session.draft
        if not draft.files and change.before is None and name not in self._specs.default:
            for each, text in self._specs.default.items():
                if not {*documents_in(each, text)} & {*documents_in(name, change.after or "")}:
                    draft = draft.with_file(each, TextChange(before=None, after=text))
        session.draft = draft.with_file(name, change)

    def _why_read_only(self, session: Session) -> str | None:
        if self._specs.follows == "applied":
            return APPLIED
        return None if session.may("admin") else _ROLE

    def _may_write(self, session: Session) -> None:
        if why := self._why_read_only(session):
            raise ControlError("the specs cannot be changed here", hint=why)

    async def _planned(self, session: Session, status: Status, release: object) -> Planned | None:
        """Return the plan of a draft: that of before, if it depends on the same."""
        draft = session.draft
        if not draft.files:
            session.planned = None
            return None
        depends = PlanOf(draft=draft, texts=self._specs.texts, release=release, problems=status.problems)
        if session.planned is None or not depends.is_as(session.planned_of):
            self._plans += 1
            planned = await self._plan(draft, self._plans, status.problems)
            session.planned, session.planned_of = planned, depends
        return session.planned

    async def _plan(self, draft: Draft, number: int, known: Sequence[Problem]) -> Planned:
        try:
            preview = await self._specs.preview(draft.files)
        except BateauError as error:
            return Planned(number=number, failure=(error.message, error.hint))
        before = {_same_error(each) for each in known if each.severity is Severity.ERROR}
        errors = [each for each in preview.written.problems if each.severity is Severity.ERROR]
        added = tuple(each for each in errors if _same_error(each) not in before or _is_in(each, draft))
        return Planned(number=number, preview=preview, errors=added, missing=draft.missing())


def notice_of(error: BateauError) -> Notice:
    """Return an error for the next page."""
    return Notice(error.message, error.hint, bad=True)


def _places(service: str, texts: Mapping[str, str]) -> list[tuple[str, tuple[str, str]]]:
    """Return the files with a document of a service, each with its kind and name."""
    return [
        (file, which)
        for file, text in texts.items()
        for which in documents_in(file, text)
        if f"{which[0].lower()}/{which[1]}" == service
    ]


def _message(draft: Draft) -> str:
    changed = [name for name in draft.files if name not in draft.deleted]
    acts = [(verb, names) for verb, names in (("change", changed), ("delete", draft.deleted)) if names]
    return ", ".join(f"{verb} {', '.join(names)}" for verb, names in acts).capitalize()


def _same_error(each: Problem) -> tuple[str, str]:
    return (each.where.file if each.where else "", each.says)


def _is_in(each: Problem, draft: Draft) -> bool:
    return each.where is not None and each.where.file in draft.files


def _brief(value: object) -> str:
    return "not set" if value is None else str(value)
