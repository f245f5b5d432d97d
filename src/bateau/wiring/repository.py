"""Follow a Git repository as the desired state of this machine.

Called by wiring.local. The specs come from the commit; what apps need beside them (their programs and files) is laid
out in a directory that follows the commit, so that a working directory means the same as in a clone.

Invariant: the directory is changed before the loop hears of a new commit, and only where a commit could be read whole.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from bateau.domain.errors import BateauError, ControlError
from bateau.sources.git import Following, GitReference, GitTexts, Push, is_git, parse

logger = logging.getLogger(__name__)

_LOCAL_INTERVAL_S: Final = 2.0


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
    ) -> None:
        following = following or _following(reference)
        self._texts = GitTexts(reference, cache=cache, environ=environ, following=following)
        self._directory = directory
        self._laid_out: str | None = None

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
        """Return the specs of the last good commit."""
        return self._texts.read()

    async def changes(self) -> AsyncIterator[None]:
        """Yield when a new commit, or a new trouble, is there."""
        async for _ in self._texts.changes():
            try:
                await self._lay_out()
            except BateauError as error:
                logger.error("%s", error.message)
            yield

    def heed(self, push: Push) -> bool:
        """Look at the repository at once where the push may be of what is followed; return whether it may be."""
        return self._texts.heed(push)

    async def _lay_out(self) -> None:
        commit = self._texts.commit
        if commit is None or commit.id == self._laid_out:
            return
        files = await self._texts.files()
        await asyncio.to_thread(_write_all, self._directory, files)
        self._laid_out = commit.id


def _following(reference: GitReference) -> Following:
    """To look at a repository on this disk costs nothing; a host far away is asked once a minute."""
    return Following(interval_s=_LOCAL_INTERVAL_S) if reference.url.startswith("file:") else Following()


def _write_all(directory: Path, files: Mapping[str, bytes]) -> None:
    """Make the files below `directory` those of a commit. Raises ControlError where the disk does not let us."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_file() or path.read_bytes() != content:
                partial = path.with_name(f".{path.name}.partial")
                partial.write_bytes(content)
                partial.chmod(0o755 if content.startswith(b"#!") else 0o644)
                partial.replace(path)
        for path in sorted(directory.rglob("*"), reverse=True):
            if path.is_file() and str(path.relative_to(directory)) not in files:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    except OSError as error:
        raise ControlError(f"cannot lay out the commit in {directory}: {error.strerror}") from error
