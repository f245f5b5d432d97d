"""Follow a Git repository as the desired state of this machine.

Called by wiring.local. The specs come from the commit; what apps need beside them (their programs and files) is laid
out in a directory that follows the commit, so that a working directory means the same as in a clone.

Invariant: only files that a commit has brought are ever changed or removed.
Invariant: the directory is changed before the loop hears of a new commit, and only where a commit could be read whole.
Invariant: a commit whose files cannot be laid out is not followed until they can: that is tried again, and said.
"""

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bateau.domain.errors import BateauError, ControlError
from bateau.sources.git import Following, GitReference, GitTexts, Push, is_git, parse

logger = logging.getLogger(__name__)

_LOCAL_INTERVAL_S: Final = 2.0
_REPAIR_S: Final = 30.0


def repository_of(place: str) -> GitReference | None:
    """Return the repository that `place` means, None where it means a directory. Raises SourceError."""
    return parse(place) if is_git(place) else None


class FollowedRepository:
    """The texts of a repository's commit, with its files in `directory`. Satisfies `ports.texts.Texts`."""

    def __init__(
        self,
        reference: GitReference,
        *,
        cache: Path,
        directory: Path,
        environ: Mapping[str, str],
        following: Following | None = None,
        repair_s: float = _REPAIR_S,
    ) -> None:
        """Follow `reference`; every `repair_s` seconds, files that were edited by hand are put back."""
        following = following or following_of(reference)
        self._texts = GitTexts(reference, cache=cache, environ=environ, following=following)
        self._directory = directory
        self._repair_s = repair_s
        self._laid_out: str | None = None
        self._laying = asyncio.Lock()  # a new commit and a repair never write at once
        self._stuck: ControlError | None = None

    @property
    def place(self) -> str:
        """The reference and the commit that is followed."""
        commit = self._texts.commit
        return f"{self._texts.place} at {commit.short}" if commit else self._texts.place

    @property
    def commit_id(self) -> str | None:
        """The id of the commit that is followed."""
        return self._texts.commit_id

    async def open(self) -> None:
        """Fetch for the first time. Raises BateauError where there is no commit to begin with."""
        await self._texts.refresh()
        if self._texts.commit is None:
            raise self._texts.trouble or ControlError(f"{self._texts.place} could not be read")
        await self._lay_out()

    def read(self) -> Mapping[str, str]:
        """Return the specs of the last good commit. Raises BateauError where its files cannot be laid out."""
        if self._stuck:
            raise self._stuck
        return self._texts.read()

    async def changes(self) -> AsyncIterator[None]:
        """Yield when a new commit, or a new trouble, is there."""
        repairs = asyncio.create_task(self._keep_laid_out())
        try:
            async for _ in self._texts.changes():
                if self.commit_id != self._laid_out:
                    await self._try_to_lay_out()
                yield
        finally:
            repairs.cancel()

    def heed(self, push: Push) -> bool:
        """Look at the repository at once where the push may be of what is followed; return whether it may be."""
        return self._texts.heed(push)

    async def _lay_out(self) -> None:
        """Make the directory what the commit is, and name what was edited in it by hand. Raises BateauError."""
        async with self._laying:
            commit = self._texts.commit
            if commit is None:
                return
            new = commit.id != self._laid_out
            try:
                written = await asyncio.to_thread(_write_all, self._directory, await self._texts.files())
            except ControlError as error:
                self._stuck = error
                raise
            self._stuck, self._laid_out = None, commit.id
            for name in () if new else written:
                logger.warning("%s was edited by hand: it is what commit %s has again", name, commit.short)

    async def _keep_laid_out(self) -> None:
        """Put back what somebody has edited in the files of the commit, and lay out what could not be before."""
        while True:
            await asyncio.sleep(self._repair_s)
            await self._try_to_lay_out()

    async def _try_to_lay_out(self) -> None:
        try:
            await self._lay_out()
        except BateauError as error:
            logger.error("%s", error.message)


def following_of(reference: GitReference, allowed_signers: Path | None = None) -> Following:
    """To look at a repository on this disk costs nothing; a host far away is asked once a minute."""
    following = Following(allowed_signers=allowed_signers)
    return replace(following, interval_s=_LOCAL_INTERVAL_S) if reference.url.startswith("file:") else following


_IN_THE_WAY: Final = "something that no commit brought stands where the commit has another; move it away"
_HINTS: Final = {errno.EISDIR: _IN_THE_WAY, errno.ENOTDIR: _IN_THE_WAY, errno.EEXIST: _IN_THE_WAY}


def _write_all(directory: Path, files: Mapping[str, bytes]) -> list[str]:
    """Make files below `directory` those of a commit; return the names of those that were not.

    What an earlier commit had and this one has not goes; what a program has written beside them stays. Raises
    ControlError where the disk does not let us.
    """
    listing = directory.with_name(f"{directory.name}.files")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = listing.read_text("utf-8", "surrogateescape").split("\0") if listing.is_file() else []
        # First, so that what is written and not yet listed as written can never be left behind.
        listing.write_text("\0".join({*before, *files}), "utf-8", "surrogateescape")
        # Before anything is written, as a directory may have become a file, or a file a directory.
        for name in sorted({*before} - files.keys() - {""}, reverse=True):
            _remove(directory, directory / name)
        written = [name for name, content in files.items() if _write(directory / name, content)]
        listing.write_text("\0".join(files), "utf-8", "surrogateescape")
    except OSError as error:
        hint = _HINTS.get(error.errno or 0)
        where = error.filename2 or error.filename or directory
        raise ControlError(f"cannot lay out the commit in {directory}: {where}: {error.strerror}", hint=hint) from error
    return written


def _write(path: Path, content: bytes) -> bool:
    """Write a file unless it is as it should be; return whether it was not."""
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.chmod(0o755 if content.startswith(b"#!") else 0o644)
    partial.replace(path)
    return True


def _remove(top: Path, path: Path) -> None:
    """Remove a file, and the directories around it that are empty then."""
    with contextlib.suppress(NotADirectoryError):  # what held it is a file now
        path.unlink(missing_ok=True)
    for around in path.parents:
        if around == top or not around.is_dir() or any(around.iterdir()):
            break
        around.rmdir()
