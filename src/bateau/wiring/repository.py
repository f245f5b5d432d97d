"""Follow a Git repository as the desired state of this machine.

Called by cli.controller, cli.up_options and wiring. The specs come from the commit. The other files of apps, such as
their programs, are laid out in a directory that follows the commit, so that a working directory is the same as in a
clone.

Invariant: the directory changes before the loop sees a new commit. Held by tests/wiring/test_laid_out.py.
Invariant: a commit with errors is reported and changes nothing, not even a program that restarts. Held by
tests/wiring/test_laid_out.py.
Invariant: a commit whose files cannot be laid out is reported, retried, and not followed until it succeeds. Held by
tests/wiring/test_laid_out.py.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bateau.domain.errors import BateauError, ControlError
from bateau.domain.revision import Commit
from bateau.kit.suggest import listed
from bateau.sources.git import Following, GitReference, GitTexts, LaidOut, Push, WorkTree, is_git, parse

logger = logging.getLogger(__name__)

_LOCAL_INTERVAL_S: Final = 2.0
_REPAIR_S: Final = 30.0


def repository_of(place: str) -> GitReference | None:
    """Return the repository that `place` names, or None if it is not a Git URL. Raises SourceError."""
    return parse(place) if is_git(place) else None


class FollowedRepository:
    """The specs of a commit, with its files in `directory`. Satisfies `ports.texts.Texts`."""

    def __init__(
        self,
        reference: GitReference,
        *,
        cache: Path,
        directory: Path,
        environ: Mapping[str, str],
        following: Following | None = None,
        sound: Callable[[Mapping[str, str]], bool] = lambda _: True,
        repair_s: float = _REPAIR_S,
    ) -> None:
        """Follow `reference`. Every `repair_s` seconds, files that were edited by hand are restored.

        `sound` returns whether specs have no errors and no policy forbids them; a commit with others changes nothing.
        """
        following = following or following_of(reference)
        self._texts = GitTexts(reference, cache=cache, environ=environ, following=following)
        self._tree = WorkTree(directory)
        self._sound = sound
        self._repair_s = repair_s
        self._laid_out: Commit | None = None
        self._seen: Mapping[str, str] | None = None  # the specs of the commit that was handled last
        self._laying = asyncio.Lock()  # a new commit and a repair never write at the same time
        self._stuck: ControlError | None = None

    @property
    def place(self) -> str:
        """The reference, the followed commit, and a newer commit that is not followed."""
        newest, followed = self._texts.commit, self._laid_out
        at = f"{self._texts.place} at {followed.short}" if followed else self._texts.place
        if newest is None or (followed and newest.id == followed.id):
            return at
        return f"{at}; commit {newest.short} of {newest.author} is not followed"

    @property
    def commit_id(self) -> str | None:
        """The id of the commit that `read` returns."""
        return self._texts.commit_id

    @property
    def cache(self) -> tuple[Path, str]:
        """The repository without a work tree that has the commits, and the folder of the specs in it."""
        return self._texts.cache

    async def fetch_older(self, commit_id: str) -> None:
        """Fetch the whole history if an older commit is not in the cache. Raises the SourceError family."""
        await self._texts.fetch_older(commit_id)

    async def commit_on_branch(
        self,
        branch: str,
        texts: Mapping[str, str | None],
        *,
        message: str,
        when_s: int,
        author: str | None = None,
        base: str | None = None,
    ) -> Commit:
        """Push a commit on the commit `base` to a new branch; None deletes a file. Raises the SourceError family.

        Without `base`, it follows on the newest commit.
        """
        return await self._texts.commit_on_branch(
            branch, texts, message=message, when_s=when_s, author=author, base=base
        )

    @property
    def commit(self) -> Commit | None:
        """The commit whose files are laid out."""
        return self._laid_out

    async def open(self) -> None:
        """Fetch for the first time. Raises BateauError if there is no commit to start with."""
        await self._texts.refresh()
        if self._texts.commit is None:
            raise self._texts.trouble or ControlError(f"{self._texts.place} could not be read")
        await self._lay_out()

    def read(self) -> Mapping[str, str]:
        """Return the specs of the last commit. Raises BateauError if its files cannot be laid out."""
        if self._stuck:
            raise self._stuck
        newest = self._texts.read()
        # While the files of a new commit are being written, the previous commit counts.
        return newest if self._seen is None else dict(self._seen)

    async def changes(self) -> AsyncIterator[None]:
        """Yield when there is a new commit or a new trouble."""
        repairs = asyncio.create_task(self._keep_laid_out())
        try:
            async for _ in self._texts.changes():
                if self._texts.texts is not self._seen:
                    await self._try_to_lay_out()
                yield
        finally:
            repairs.cancel()
            await asyncio.wait({repairs})  # it may be in a run of git

    def heed(self, push: Push) -> bool:
        """Poll the repository at once if the push may have moved the followed ref; return whether it may have."""
        return self._texts.heed(push)

    async def _lay_out(self) -> None:
        """Lay out the last sound commit, and log the files that were edited by hand. Raises BateauError."""
        async with self._laying:
            commit, texts = self._texts.commit, self._texts.texts
            if commit is None or texts is None:
                return
            if texts is not self._seen and not await asyncio.to_thread(self._sound, texts):
                logger.warning("commit %s of %s has errors and changes nothing", commit.short, commit.author)
                self._seen = texts  # the loop reads and reports the errors
                return
            if texts is self._seen:
                commit = self._laid_out  # a repair
                if commit is None:
                    return
            try:
                laid_out = await self._texts.lay_out(commit, self._tree)
            except ControlError as error:
                self._stuck = error
                raise
            new = commit is not self._laid_out
            self._stuck, self._laid_out, self._seen = None, commit, texts
            if new:
                await self._warn(commit, laid_out)
            for name in () if new else laid_out.written:
                logger.warning("%s was edited by hand and is restored from commit %s", name, commit.short)

    async def _warn(self, commit: Commit, laid_out: LaidOut) -> None:
        """Log the files whose content is not in the commit: a program that needs them fails."""
        if submodules := await self._texts.submodules(commit):
            logger.warning("commit %s: submodules are left empty: %s", commit.short, listed(submodules))
        if laid_out.pointers:
            names = listed(laid_out.pointers)
            logger.warning("commit %s: files in Git LFS are pointers, without their content: %s", commit.short, names)

    async def _keep_laid_out(self) -> None:
        """Restore files that were edited by hand, and retry a commit that could not be laid out."""
        while True:
            await asyncio.sleep(self._repair_s)
            await self._try_to_lay_out()

    async def _try_to_lay_out(self) -> None:
        try:
            await self._lay_out()
        except BateauError as error:
            logger.error("%s", error.message)


def following_of(
    reference: GitReference, allowed_signers: Path | None = None, *, rewritten_history: bool = False
) -> Following:
    """Return how to follow a repository: one on the local disk is polled more often than a remote one."""
    following = Following(allowed_signers=allowed_signers, rewritten_history=rewritten_history)
    return replace(following, interval_s=_LOCAL_INTERVAL_S) if reference.url.startswith("file:") else following
