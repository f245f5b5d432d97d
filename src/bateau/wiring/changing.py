"""Change the specs of a running instance: plan a draft, and apply it.

Called by ui.changes and ui.dashboard.

Invariant: nothing is written before it is applied, and nothing that is applied is anywhere but in the followed
directory or repository. Held by tests/ui/test_change.py::test_a_draft_changes_nothing_until_it_is_applied and
tests/wiring/test_changing.py::test_a_draft_becomes_a_commit_on_a_branch.
Invariant: of two changes that begin with the same text, the second is refused. Held by
tests/ui/test_change.py::test_of_two_sessions_that_apply_one_loses_and_nothing_is_lost.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bateau.control.history import LOCAL
from bateau.control.loop import Control
from bateau.control.preview import Preview
from bateau.control.reading import Reader
from bateau.control.rollback import RolledBack
from bateau.domain.errors import ControlError
from bateau.domain.offered import Offered
from bateau.domain.revision import Commit, Revision
from bateau.domain.status import Follows
from bateau.domain.text_change import ChangedMeanwhileError, TextChange
from bateau.sources.spec_writing import why_not_a_name, write_specs
from bateau.wiring.local import LocalPlatform
from bateau.wiring.offered_models import OfferedModels
from bateau.wiring.promotion import Committing, Promoted, promoted
from bateau.wiring.question import Question
from bateau.wiring.reading import WorkerReader
from bateau.wiring.repository import FollowedRepository

PLAN_S_MAX: Final = 20
REVISIONS_MAX: Final = 12
REVISIONS_S: Final = 1.0
_BY_HAND: Final = "change the files there, and run `bateau apply` again"


class Changing:
    """Plans and applies drafts of one instance. Satisfies `ui.changes.Specs`.

    `default` returns the specs that stand in while the directory has none. `reader` reads drafts, in a process of its
    own, which `end` ends. `offered` returns the models of the catalogue.
    """

    def __init__(
        self,
        control: Control,
        *,
        directory: Path,
        follows: Follows,
        reader: Reader,
        offered: Callable[[], Awaitable[Sequence[Offered]]],
        default: Callable[[], Mapping[str, str]] = dict,
        repository: FollowedRepository | None = None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._control = control
        self._directory = directory
        self._reader = reader
        self._repository = repository
        self._default = default
        self._applying = asyncio.Lock()
        self._revisions: tuple[Revision, ...] | None = ()
        self._newest: Mapping[str, int] = {}
        self._revisions_at = -REVISIONS_S
        self.follows: Follows = follows
        self.close = end
        self.offered = offered

    @property
    def texts(self) -> Mapping[str, str]:
        """The specs that were read last, by file name."""
        return self._control.desired.texts

    @property
    def default(self) -> Mapping[str, str]:
        """The specs that stand in because the directory has none. They are in no file."""
        standing: Mapping[str, str] = self._default() if self.follows == "directory" else {}
        return standing if standing.keys() <= self.texts.keys() else {}

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that the specs have."""
        written = self._control.desired.written
        return written.environments if written else ()

    @property
    def held(self) -> Mapping[str, int]:
        """The services that a rollback holds, each with its revision."""
        return self._control.desired.held

    @property
    def commit(self) -> Commit | None:
        """The commit that is followed, None without a repository."""
        return self._repository.commit if self._repository else None

    def revisions(self) -> tuple[Revision, ...] | None:
        """Return the latest revisions, the newest first. None: they cannot be read."""
        now, store = self._control.ports.clock.monotonic(), self._control.ports.revisions
        if now - self._revisions_at >= REVISIONS_S:
            environment = self._control.ports.environment
            try:
                found = tuple(store.history(environment or LOCAL, limit=REVISIONS_MAX)) if store else None
                if store and found and (not self._revisions or found[0].id != self._revisions[0].id):
                    self._newest = store.newest_of(environment or LOCAL)
            except ControlError:
                found = None
            self._revisions_at = now
            self._revisions = self._revisions if found == self._revisions else found
        return self._revisions

    def newest_revisions(self) -> Mapping[str, int]:
        """Return every service of the history, with the newest revision that has it. Empty if it cannot be read."""
        return self._newest if self.revisions() else {}

    def texts_of(self, revision: int) -> Mapping[str, str]:
        """Return the specs of a revision. Raises ControlError."""
        if (store := self._control.ports.revisions) is None:
            raise ControlError("this control plane keeps no history, so there is no revision to read")
        return store.content(revision)

    async def preview(self, draft: Mapping[str, TextChange]) -> Preview:
        """Return the effect of a draft. Raises ControlError if it cannot be read in time."""
        return await self._control.preview(self._with(draft), self._reader)

    async def apply(
        self, draft: Mapping[str, TextChange], *, message: str, author: str | None = None, who: str | None = None
    ) -> str:
        """Write a draft to the directory, or commit it on a branch of the repository. Return a sentence about that.

        `author` is that of the commit, None: that of git's settings. `who` is that of the revision, None: the user of
        this machine.

        Raises ChangedMeanwhileError, ControlError and the SourceError family; then nothing was changed.
        """
        async with self._applying:
            if self.follows == "directory":
                if who:
                    self._control.desired.expect(self._with(draft), who=who)
                await asyncio.to_thread(write_specs, self._directory, dict(draft))
                self._control.look_again()
                written = [name for name, each in draft.items() if each.after is not None]
                gone = [name for name in draft if name not in written]
                done = [f"{', '.join(written)} written to {self._directory}"] if written else []
                return "; ".join([*done, *([f"{', '.join(gone)} deleted from {self._directory}"] if gone else [])])
            if repository := self._repository:
                self._check(draft)
                branch = f"bateau-{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
                texts = {name: each.after for name, each in draft.items()}
                made = await repository.commit_on_branch(
                    branch, texts, message=message, when_s=int(time.time()), author=author
                )
                return f"commit {made.short} is on branch {branch}; merge it into the followed branch to apply it"
        where = self._control.ports.texts.place
        raise ControlError(f"the specs of this instance were applied from {where}", hint=_BY_HAND)

    async def promote(self, service: str | None, *, source: str, target: str, author: str | None = None) -> Promoted:
        """Copy the pinned versions of an environment to another one: a commit on a new branch.

        The branch is one of the clone, or of the repository that is followed. `author` is that of a commit there, None:
        that of git's settings. Raises ControlError and the SourceError family.
        """
        where, revision, commit = Question(directory=self._directory, environment=None), "HEAD", None
        if repository := self._repository:
            followed = repository.commit
            if followed is None:
                raise ControlError("no commit is followed yet", hint="try again in a moment")
            directory, subdirectory = repository.cache
            where, revision = replace(where, directory=directory, subdirectory=subdirectory), followed.id
            commit = _pushing(repository, followed.id, author)
        async with self._applying:
            return await asyncio.to_thread(
                promoted, where, revision, service=service, source=source, target=target, commit=commit
            )

    async def rollback(self, service: str, *, to: int | None, who: str | None = None) -> RolledBack:
        """Hold a service at an earlier revision, for `who`. Raises ControlError."""
        return await self._control.rollback(service, to=to, who=who)

    def _with(self, draft: Mapping[str, TextChange]) -> Mapping[str, str]:
        after = {name: each.after for name, each in draft.items() if each.after is not None}
        mentions = any("bateau.dev/" in text for text in after.values())
        before = {name: text for name, text in self.texts.items() if not (mentions and name in self.default)}
        deleted = draft.keys() - after.keys()
        return {name: text for name, text in {**before, **after}.items() if name not in deleted}

    def _check(self, draft: Mapping[str, TextChange]) -> None:
        """Raise if a name is not that of a spec file, or a text is not that of the commit."""
        for name in draft:
            if why := why_not_a_name(name):
                raise ControlError(f"{name!r} is not the name of a spec file: it {why}")
        texts = self.texts
        changed = {name: texts.get(name) for name, each in draft.items() if texts.get(name) != each.before}
        if changed:
            raise ChangedMeanwhileError(changed)


def _pushing(repository: FollowedRepository, base: str, author: str | None) -> Committing:
    """Return what pushes a commit on `base` to a new branch. It is for a thread: the repository is the event loop's."""
    loop = asyncio.get_running_loop()

    def commit(branch: str, texts: Mapping[str, str], message: str) -> Commit:
        made = repository.commit_on_branch(
            branch, texts, message=message, when_s=int(time.time()), author=author, base=base
        )
        return asyncio.run_coroutine_threadsafe(made, loop).result()

    return commit


def changing_of(platform: LocalPlatform) -> Changing:
    """Return how the specs of an instance of this machine are changed."""
    settings, control = platform.settings, platform.control
    follows = "repository" if settings.repository else "applied" if settings.applied else "directory"
    reader = WorkerReader(settings.environment, settings.environ, limit_s=PLAN_S_MAX)
    return Changing(
        control,
        directory=settings.directory,
        follows=follows,
        reader=reader,
        offered=OfferedModels(settings.directory, settings.environ, control.ports.site.machine).now,
        default=lambda: platform.files.default,
        repository=platform.repository,
        end=reader.close,
    )


__all__ = ["Changing", "why_not_a_name"]
