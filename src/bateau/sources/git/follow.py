"""Follow a Git repository: the commit at a branch, a tag or an id is the desired state.

Called by wiring.repository. control uses it through ports.texts. wiring calls `refresh` once before the loop starts,
and `heed` for a webhook.

Invariant: a commit that cannot be fetched, read or trusted changes nothing. The last good commit stays, also after a
restart, and `read` raises the trouble so that it is reported. Held by tests/git/test_following.py.
Invariant: a rewritten history is not followed, unless it goes back to an ancestor, which is a rollback. Held by
tests/git/test_following.py.
Refused: `git clone --mirror`. It would fetch every branch of a large repository to follow one.
"""

import asyncio
import contextlib
import hashlib
import logging
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bateau.domain.errors import (
    BateauError,
    DiskFull,
    SourceDamaged,
    SourceDenied,
    SourceError,
    SourceNotFound,
    SourceUnreachable,
)
from bateau.domain.revision import Commit
from bateau.kit.backoff import Backoff
from bateau.ports.repository import Change
from bateau.sources.git.objects import GitObjects
from bateau.sources.git.process import Git
from bateau.sources.git.reference import GitReference
from bateau.sources.git.webhook import Push
from bateau.sources.git.work_tree import LaidOut, WorkTree
from bateau.sources.lock import held

logger = logging.getLogger(__name__)

_GOOD: Final = "refs/bateau/good"
_FETCHED: Final = "refs/bateau/fetched"
_FETCH_TIMEOUT_S: Final = 600.0
_DEPTH: Final = "50"  # enough to recognise most rollbacks without a second fetch


@dataclass(frozen=True, kw_only=True)
class Following:
    """How to follow a repository. Without `allowed_signers`, a file for ssh-keygen, signatures are not verified."""

    interval_s: float = 60.0
    backoff: Backoff = field(default_factory=lambda: Backoff(initial_s=5.0, ceiling_s=600.0, jitter=0.2))
    allowed_signers: Path | None = None
    rewritten_history: bool = False  # whether a forced push to other commits is followed


class GitTexts:
    """The specs at a Git reference. Satisfies `ports.texts.Texts`.

    `commit` is the last good commit; `trouble` is the reason why a newer one is not followed, or None.
    """

    def __init__(
        self, reference: GitReference, *, cache: Path, environ: Mapping[str, str], following: Following | None = None
    ) -> None:
        key = hashlib.sha256(reference.shown.encode()).hexdigest()[:24]
        self._reference = reference
        self._directory = cache / "git" / f"{key}.git"
        self._following = following or Following()
        self._git = Git(directory=self._directory, environ=environ, url=reference.url, secret=reference.secret)
        self._objects = GitObjects(self._git, subdirectory=reference.subdirectory)
        self._texts: Mapping[str, str] | None = None
        self._unread = False  # texts that were not read yet are returned before the trouble is raised
        self._poked = asyncio.Event()
        self._turn = asyncio.Lock()
        self._failures = 0
        self.commit: Commit | None = None
        self.trouble: BateauError | None = None

    @property
    def place(self) -> str:
        """The reference, without secrets."""
        return self._reference.shown

    @property
    def commit_id(self) -> str | None:
        """The id of the last good commit."""
        return self.commit.id if self.commit else None

    def read(self) -> Mapping[str, str]:
        """Return the specs of the last good commit. Raises BateauError if a newer one is not followed.

        Texts that were not read yet are returned first, for example after a restart while the host is unreachable.
        """
        if self._texts is None:
            raise self.trouble or SourceUnreachable(f"{self.place} has not been fetched yet")
        if self.trouble and not self._unread:
            raise self.trouble
        if self.trouble:
            self._poked.set()  # `changes` then yields again, and the trouble is read, too
        self._unread = False
        return dict(self._texts)

    async def changes(self) -> AsyncIterator[None]:
        """Poll the repository, and yield when there is a new commit or a new trouble."""
        while True:
            # Not wait_for: in Python 3.11, it swallows a cancellation that arrives together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.pause_s()):
                    await self._poked.wait()
            self._poked.clear()
            before = (self.commit, str(self.trouble))
            await self.refresh()
            if before != (self.commit, str(self.trouble)) or self.trouble:
                yield

    def poke(self) -> None:
        """Poll at once, before the interval has passed."""
        self._poked.set()

    def heed(self, push: Push) -> bool:
        """Poll at once if the push may have moved the followed ref, and return whether it may have."""
        if not self._reference.may_be_moved_by(push.ref):
            return False
        self.poke()
        return True

    def pause_s(self) -> float:
        """Return the seconds until the next poll: the interval, or longer after consecutive failures."""
        delay_s = self._following.backoff.delay_s(self._failures, seed=self.place)
        return max(delay_s, self._following.interval_s) if self._failures else self._following.interval_s

    async def refresh(self) -> None:
        """Fetch once. An expected failure is not raised but kept in `trouble`."""
        async with self._turn:
            try:
                await self._advance()
            except BateauError as error:
                self._failures += 1
                if self.trouble is None or self.trouble.message != error.message:
                    logger.warning("%s: %s", self.place, error.message)
                self.trouble = error
            else:
                self._failures = 0
                self.trouble = None

    @property
    def cache(self) -> tuple[Path, str]:
        """The repository without a work tree that has the commits, and the folder of the specs in it."""
        return self._directory, self._reference.subdirectory

    async def fetch_older(self, commit_id: str) -> None:
        """Fetch the whole history if an older commit is not in the cache. Raises the SourceError family."""
        async with self._turn, self._repository():
            try:
                await self._objects.id_of(commit_id)
            except SourceNotFound:
                doing = "look for older commits"
                if await self._git.asks("rev-parse", "--is-shallow-repository", doing=doing) == b"true\n":
                    await self._fetched(self._reference.ref or "HEAD", deepen=True)

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
        """Push a commit to a new branch; None deletes a file. Raises the SourceError family.

        It follows on the commit `base`, None: on the newest one. `author` is "Name <mail>", None: that of git's
        settings, which is the committer in any case.
        """
        async with self._turn, self._repository():
            if self.commit is None:
                raise SourceUnreachable(f"{self.place} has not been fetched yet")
            named = {self._objects.path_of(name): text for name, text in texts.items()}
            own = await self._objects.author()
            change = Change(
                branch=branch, texts=named, message=message, author=author or own, committer=own, when_s=when_s
            )
            made = await self._objects.commit_on_branch(base or self.commit.id, change)
            there, doing = f"refs/heads/{branch}", f"push branch {branch} to {self.place}"
            try:
                # The lease demands that the branch does not exist there yet.
                await self._git.run(
                    "push", "--quiet", "--no-verify", f"--force-with-lease={there}:", "--", self._reference.url,
                    f"{made.id}:{there}", doing=doing, timeout_s=_FETCH_TIMEOUT_S,
                )  # fmt: skip
            finally:
                await self._git.run("update-ref", "-d", there, doing=doing)
            return made

    @property
    def texts(self) -> Mapping[str, str] | None:
        """The specs of the last good commit, also while there is trouble; None before the first one."""
        return self._texts

    async def lay_out(self, commit: Commit, tree: WorkTree) -> LaidOut:
        """Make the files of a directory those of a commit. Raises SourceError, and ControlError for disk errors."""
        try:
            return await self._laid_out(commit, tree)
        except SourceDamaged:
            async with self._turn, self._repository():
                await self._renew()
            return await self._laid_out(commit, tree)

    async def _laid_out(self, commit: Commit, tree: WorkTree) -> LaidOut:
        return await tree.lay_out(await self._objects.listing(commit.id), self._objects.blobs, commit.id)

    async def submodules(self, commit: Commit) -> list[str]:
        """Return the paths of the submodules of a commit, whose files are not in it. Raises SourceError."""
        listing = await self._objects.listing(commit.id)
        return [path for path, entry in listing.entries.items() if entry.is_submodule]

    async def _advance(self) -> None:
        async with self._repository():
            await self._recall()
            if self._reference.is_pinned and self.commit is not None:
                return  # an id never means another commit
            try:
                await self._follow(await self._fetched(self._reference.ref or "HEAD", deepen=False))
            except SourceDamaged:
                await self._follow(await self._renew())

    async def _follow(self, found: str) -> None:
        if self.commit is not None and found == self.commit.id and self._texts is not None:
            return
        commit = await self._trusted(await self._objects.commit(found))
        await self._refuse_rewritten(commit)
        texts = await self._objects.texts_at(commit.id)
        await self._git.run("update-ref", _GOOD, commit.id, doing="remember the commit")
        logger.info("%s is at %s: %s", self.place, commit.short, commit.subject)
        self._take(commit, texts)

    def _take(self, commit: Commit, texts: Mapping[str, str]) -> None:
        self.commit, self._texts, self._unread = commit, texts, True

    async def _recall(self) -> None:
        """After a restart, read the last good commit before the host is contacted."""
        if (
            self.commit is not None
            or await self._git.asks("rev-parse", "--verify", "--quiet", _GOOD, doing="read the cache") is None
        ):
            return
        with contextlib.suppress(SourceError):  # the fetch replaces a damaged cache
            commit = await self._trusted(await self._objects.commit(_GOOD))
            self._take(commit, await self._objects.texts_at(commit.id))

    async def _fetched(self, ref: str, *, deepen: bool) -> str:
        """Fetch `ref` and return the id of its commit. Raises SourceNotFound if the host no longer has the ref."""
        doing = f"fetch {self.place}"
        depth = ("--unshallow",) if deepen else (f"--depth={_DEPTH}",)
        try:
            await self._git.run(
                "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--update-shallow",
                *depth, "--", self._reference.url, f"+{ref}:{_FETCHED}", doing=doing, timeout_s=_FETCH_TIMEOUT_S,
            )  # fmt: skip
        except SourceError as error:
            if "find remote ref" in error.message or "not our ref" in error.message:
                hint = "push it again, or follow another ref"
                raise SourceNotFound(f"{self.place}: {ref} no longer exists", hint=hint) from error
            raise
        return await self._objects.id_of(_FETCHED)

    async def _renew(self) -> str:
        """Replace a damaged cache by a new one. Return the id of the fetched commit."""
        logger.warning("%s: the cache in %s is damaged, and is fetched again", self.place, self._directory)
        self._objects = GitObjects(self._git, subdirectory=self._reference.subdirectory)  # it remembers listings
        damaged = self._directory.with_suffix(".damaged")
        await asyncio.to_thread(shutil.rmtree, damaged, ignore_errors=True)
        self._directory.rename(damaged)
        try:
            await self._create()
            found = await self._fetched(self._reference.ref or "HEAD", deepen=False)
        except SourceError:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
            damaged.rename(self._directory)  # better than none, while the host is unreachable
            raise
        await asyncio.to_thread(shutil.rmtree, damaged, ignore_errors=True)
        if self.commit is not None:
            await self._git.asks("update-ref", _GOOD, self.commit.id, doing="remember the commit")
        return found

    async def _create(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._git.run("init", "--quiet", "--bare", "--template=", ".", doing="create the cache")

    async def _trusted(self, commit: Commit) -> Commit:
        signers = self._following.allowed_signers
        if signers is None:
            return commit
        signers = await asyncio.to_thread(signers.absolute)
        if not signers.is_file():
            hint = "create it; without it, no commit is followed"
            raise SourceError(f"the file of allowed signers, {signers}, does not exist", hint=hint)
        state, signer = await self._objects.signature(commit, signers)
        if state != "good":
            says = {"unsigned": "is not signed", "bad": "has an invalid or expired signature"}
            raise SourceDenied(
                f"commit {commit.short} of {commit.author} "
                + says.get(
                    state,
                    f"is signed with a key that is not in {signers.name}"
                    if state != "not ssh"
                    else "does not have an ssh signature",
                ),
                hint="sign with a key in the file of allowed signers: `git commit -S`, with gpg.format=ssh",
            )
        return replace(commit, signature=state, signer=signer)

    async def _refuse_rewritten(self, commit: Commit) -> None:
        """Accept a forced push to an ancestor only. One to other commits may be an accident or an attack."""
        last = self.commit
        if last is None or last.id == commit.id or self._following.rewritten_history:
            return
        if await self._objects.is_ancestor(last.id, commit.id) or await self._objects.is_ancestor(commit.id, last.id):
            return
        out = await self._git.asks("rev-parse", "--is-shallow-repository", doing="compare commits")
        if out and out.strip() == b"true":
            await self._fetched(self._reference.ref or "HEAD", deepen=True)
            if await self._objects.is_ancestor(last.id, commit.id) or await self._objects.is_ancestor(
                commit.id, last.id
            ):
                return
        raise SourceError(
            f"{self.place} was rewritten by a forced push: {commit.short} is not a descendant of {last.short}",
            hint=f"push {last.short} or a descendant of it, or start `up` with --allow-rewritten-history",
        )

    @asynccontextmanager
    async def _repository(self) -> AsyncGenerator[None]:
        """Lock the bare repository, and create it if it is missing. A second process waits here."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            async with held(self._directory.with_suffix(".lock"), while_waiting=lambda: None):
                # A process that was killed left these: this one holds the lock.
                for stale in (*self._directory.glob("*.lock"), *self._directory.glob("refs/bateau/*.lock")):
                    stale.unlink(missing_ok=True)
                await self._create()
                yield
        except OSError as error:
            kind = DiskFull if error.errno == 28 else SourceError  # noqa: PLR2004 - ENOSPC
            raise kind(
                f"cannot write {self._directory}: {error.strerror}", hint="check its permissions, and free some space"
            ) from error
