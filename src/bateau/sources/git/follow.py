"""Follow a Git repository: the commit at a branch, a tag or an id is the desired state.

Called by control through ports.texts; wiring calls `refresh` once before the loop starts, and `heed` for a webhook.

Invariant: what cannot be reached, read or trusted changes nothing: the last good commit stays, also over a restart, and
`read` raises the trouble so that it is said.
Invariant: a history that was rewritten is not followed, unless it goes back to an ancestor: that is a rollback.
Refused: `git clone --mirror`; every branch of a large repository would be fetched for the sake of one.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bateau.domain.errors import BateauError, DiskFull, SourceDenied, SourceError, SourceNotFound, SourceUnreachable
from bateau.domain.revision import Commit
from bateau.kit.backoff import Backoff
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
_DEPTH: Final = "50"  # enough to see most rollbacks without asking for more


@dataclass(frozen=True, kw_only=True)
class Following:
    """How a repository is followed. `allowed_signers` is a file as ssh-keygen reads it; without, nothing is checked."""

    interval_s: float = 60.0
    backoff: Backoff = field(default_factory=lambda: Backoff(initial_s=5.0, ceiling_s=600.0, jitter=0.2))
    allowed_signers: Path | None = None
    rewritten_history: bool = False  # whether a forced push to other commits is followed


class GitTexts:
    """The specs at a Git reference. Satisfies `ports.texts.Texts`.

    `commit` is the last good commit; `trouble` why a newer one is not followed, or None.
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
        self._untold = False  # texts that nobody has read yet go before the trouble
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
        """Return the specs of the last good commit. Raises BateauError: why a newer one is not followed.

        The trouble comes second where the good texts were not read yet, as after a restart with the host away.
        """
        if self._texts is None:
            raise self.trouble or SourceUnreachable(f"{self.place} was not fetched yet")
        if self.trouble and not self._untold:
            raise self.trouble
        if self.trouble:
            self._poked.set()  # so that `changes` comes round, and the trouble is read too
        self._untold = False
        return dict(self._texts)

    async def changes(self) -> AsyncIterator[None]:
        """Look at the repository again and again; yield when a commit or a trouble is new."""
        while True:
            # Not wait_for: Python 3.11's swallows a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.pause_s()):
                    await self._poked.wait()
            self._poked.clear()
            before = (self.commit, str(self.trouble))
            await self.refresh()
            if before != (self.commit, str(self.trouble)) or self.trouble:
                yield

    def poke(self) -> None:
        """Look at once, and not only when the interval is over."""
        self._poked.set()

    def heed(self, push: Push) -> bool:
        """Look at once where the push may have moved what is followed; return whether it may have."""
        if not self._reference.may_be_moved_by(push.ref):
            return False
        self.poke()
        return True

    def pause_s(self) -> float:
        """Return the seconds until the next look: the interval, and longer after failures in a row."""
        delay_s = self._following.backoff.delay_s(self._failures, seed=self.place)
        return max(delay_s, self._following.interval_s) if self._failures else self._following.interval_s

    async def refresh(self) -> None:
        """Fetch once. Never raises for the world's sake: what failed stands in `trouble`."""
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
    def texts(self) -> Mapping[str, str] | None:
        """The specs of the last good commit, whatever the trouble since; None before there is one."""
        return self._texts

    async def lay_out(self, commit: Commit, tree: WorkTree) -> LaidOut:
        """Make the files of a directory those of a commit. Raises SourceError, and ControlError for the disk."""
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
            found = await self._fetched(self._reference.ref or "HEAD", deepen=False)
            if self.commit is not None and found == self.commit.id and self._texts is not None:
                return
            commit = await self._trusted(await self._objects.commit(found))
            await self._refuse_rewritten(commit)
            texts = await self._objects.texts_at(commit.id)
            await self._git.run("update-ref", _GOOD, commit.id, doing="remember the commit")
            logger.info("%s is at %s: %s", self.place, commit.short, commit.subject)
            self._take(commit, texts)

    def _take(self, commit: Commit, texts: Mapping[str, str]) -> None:
        self.commit, self._texts, self._untold = commit, texts, True

    async def _recall(self) -> None:
        """After a restart, take up the last good commit before the host is asked."""
        if (
            self.commit is not None
            or await self._git.asks("rev-parse", "--verify", "--quiet", _GOOD, doing="look") is None
        ):
            return
        with contextlib.suppress(SourceError):  # a damaged cache is fetched anew
            commit = await self._trusted(await self._objects.commit(_GOOD))
            self._take(commit, await self._objects.texts_at(commit.id))

    async def _fetched(self, ref: str, *, deepen: bool) -> str:
        """Fetch `ref` and return the commit's id; the fetch is what tells a vanished ref from a host that is away."""
        doing = f"fetch {self.place}"
        depth = ("--unshallow",) if deepen else (f"--depth={_DEPTH}",)
        try:
            await self._git.run(
                "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--update-shallow",
                *depth, "--", self._reference.url, f"+{ref}:{_FETCHED}", doing=doing, timeout_s=_FETCH_TIMEOUT_S,
            )  # fmt: skip
        except SourceError as error:
            if "find remote ref" in error.message or "not our ref" in error.message:
                hint = "push it again, or follow another one"
                raise SourceNotFound(f"{self.place}: there is no {ref} any more", hint=hint) from error
            raise
        return await self._objects.id_of(_FETCHED)

    async def _trusted(self, commit: Commit) -> Commit:
        signers = self._following.allowed_signers
        if signers is None:
            return commit
        signers = await asyncio.to_thread(signers.absolute)
        if not signers.is_file():
            raise SourceError(
                f"the file of allowed signers, {signers}, is not there", hint="nothing is followed unchecked"
            )
        state, signer = await self._objects.signature(commit, signers)
        if state != "good":
            says = {"unsigned": "is not signed", "bad": "has a signature that is wrong or has expired"}
            raise SourceDenied(
                f"commit {commit.short} of {commit.author} "
                + says.get(
                    state, f"is signed by nobody in {signers.name}" if state != "not ssh" else "has no ssh signature"
                ),
                hint="sign with a key in the file of allowed signers: git commit -S, with gpg.format=ssh",
            )
        return replace(commit, signature=state, signer=signer)

    async def _refuse_rewritten(self, commit: Commit) -> None:
        """A forced push to an ancestor goes back; one to other commits may be an accident or an attack."""
        last = self.commit
        if last is None or last.id == commit.id or self._following.rewritten_history:
            return
        if await self._objects.is_ancestor(last.id, commit.id) or await self._objects.is_ancestor(commit.id, last.id):
            return
        out = await self._git.asks("rev-parse", "--is-shallow-repository", doing="look")
        if out and out.strip() == b"true":
            await self._fetched(self._reference.ref or "HEAD", deepen=True)
            if await self._objects.is_ancestor(last.id, commit.id) or await self._objects.is_ancestor(
                commit.id, last.id
            ):
                return
        raise SourceError(
            f"{self.place} was rewritten by a forced push: {commit.short} does not build on {last.short}",
            hint=f"push a commit above {last.short}, push that commit back, or give --allow-rewritten-history to `up`",
        )

    @asynccontextmanager
    async def _repository(self) -> AsyncGenerator[None]:
        """Hold the bare repository, made where it is missing; a second process waits here."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            async with held(self._directory.with_suffix(".lock"), while_waiting=lambda: None):
                # Whoever left these was killed: the lock is ours.
                for stale in (*self._directory.glob("*.lock"), *self._directory.glob("refs/bateau/*.lock")):
                    stale.unlink(missing_ok=True)
                await self._git.run("init", "--quiet", "--bare", "--template=", ".", doing="make the cache")
                yield
        except OSError as error:
            kind = DiskFull if error.errno == 28 else SourceError  # noqa: PLR2004 - ENOSPC
            raise kind(f"cannot write {self._directory}: {error.strerror}", hint="free some space there") from error
