"""Write the files of a commit to a directory, as a checkout would, and keep them identical to the commit.

Called by sources.git.commit_files, sources.git.follow and wiring.repository.

Invariant: only files that came from a commit are ever changed or removed, and nothing is written through a link. Held
by tests/wiring/test_laid_out.py and
tests/git/test_commits.py::test_nothing_is_written_through_a_link_that_a_program_made.
Invariant: a file is not read again until its size, times or inode change. Held by
tests/git/test_commits.py::test_a_second_look_repairs_modes_contents_and_links_and_reads_nothing_else.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.kit.git_lfs import is_pointer
from bateau.sources.git.blobs import BATCH_BYTES, Blobs
from bateau.sources.git.listing import Entry, Listing

_IN_THE_WAY: Final = "a program has created something else under a name that the commit uses; move it away"
_HINTS: Final = {errno.EISDIR: _IN_THE_WAY, errno.ENOTDIR: _IN_THE_WAY, errno.EEXIST: _IN_THE_WAY}


@dataclass(frozen=True, kw_only=True)
class LaidOut:
    """The names of files that differed from the commit, and of those that are pointers of Git LFS."""

    written: tuple[str, ...]
    pointers: tuple[str, ...]


@dataclass(slots=True)
class WorkTree:
    """A directory with the files of a commit. A list of their names is stored next to it."""

    directory: Path
    _seen: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict[str, tuple[str, tuple[int, ...]]])

    async def lay_out(self, listing: Listing, blobs: Blobs, commit_id: str) -> LaidOut:
        """Make the directory equal to a commit. Files of an earlier commit are removed; files of programs stay.

        Raises ControlError if the disk does not permit it, and the SourceError family.
        """
        with self._disk_errors():
            different = await asyncio.to_thread(self._prepare, listing)
        pointers = await self.write(different, listing, blobs, commit_id)
        with self._disk_errors():
            await asyncio.to_thread(self._finish, listing)
        return LaidOut(written=tuple(entry.path for entry in different), pointers=pointers)

    async def write(self, entries: Sequence[Entry], listing: Listing, blobs: Blobs, commit_id: str) -> tuple[str, ...]:
        """Write entries of a commit, and return the names of pointers of Git LFS. Raises as `lay_out`."""
        pointers: list[str] = []
        with self._disk_errors():
            for link in (entry for entry in entries if entry.is_link):
                self._partial.unlink(missing_ok=True)
                self._partial.symlink_to(listing.target(link))
                self._put(link)
            async for batch in blobs.batches([entry for entry in entries if entry.is_file], commit_id):
                if batch.size_bytes > BATCH_BYTES:  # one large file
                    await blobs.save(batch.entries[0], self._partial)
                    self._put(batch.entries[0])
                    continue
                contents = dict(zip(batch.entries, await blobs.contents(batch), strict=True))
                await asyncio.to_thread(self._write, contents)
                pointers += [each.path for each, content in contents.items() if is_pointer(content)]
        return tuple(pointers)

    @contextlib.contextmanager
    def _disk_errors(self) -> Generator[None]:
        """Turn an error of the disk into one sentence."""
        try:
            yield
        except OSError as error:
            hint = _HINTS.get(error.errno or 0)
            where = error.filename2 or error.filename or self.directory
            says = f"cannot lay out the commit in {self.directory}: {where}: {error.strerror}"
            raise ControlError(says, hint=hint) from error

    @property
    def _names(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}.files")

    @property
    def _partial(self) -> Path:
        """The file that is being written. It is outside the directory, because a commit may contain any name."""
        return self.directory.with_name(f"{self.directory.name}.partial")

    def _prepare(self, listing: Listing) -> list[Entry]:
        """Remove files that the commit does not have, and return the entries that differ from the files on disk."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = self._names.read_text("utf-8", "surrogateescape").split("\0") if self._names.is_file() else []
        # First, so that every file that is written is listed even if the control plane is killed.
        self._names.write_text("\0".join({*before, *listing.entries}), "utf-8", "surrogateescape")
        # Before anything is written, as a directory may have become a file, or a file a directory.
        for name in sorted({*before} - listing.entries.keys() - {""}, reverse=True):
            self._remove(self.directory / name)
        different: list[Entry] = []
        for entry in listing.entries.values():
            path = self.directory / entry.path
            if entry.is_submodule:
                self._folder(path)  # empty, as in a checkout without submodules
            elif not self._is_as(path, entry, listing):
                different.append(entry)
        return different

    def _write(self, contents: Mapping[Entry, bytes]) -> None:
        for entry, content in contents.items():
            self._partial.unlink(missing_ok=True)
            self._partial.write_bytes(content)
            self._put(entry)

    def _put(self, entry: Entry) -> None:
        """Give the partial file the name and the mode of an entry."""
        path = self.directory / entry.path
        self._folder(path.parent)
        if entry.is_file:
            self._partial.chmod(0o755 if entry.is_executable else 0o644)
        self._partial.replace(path)
        self._seen[entry.path] = entry.id, _marks(path)

    def _finish(self, listing: Listing) -> None:
        self._names.write_text("\0".join(listing.entries), "utf-8", "surrogateescape")
        self._seen = {path: seen for path, seen in self._seen.items() if path in listing.entries}

    def _is_as(self, path: Path, entry: Entry, listing: Listing) -> bool:
        """Whether a file or a link equals the commit. Its content is read only if its marks have changed."""
        try:
            marks = _marks(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if self._seen.get(entry.path) == (entry.id, marks):
            return True
        if self._is_behind_link(path):
            return False
        if entry.is_link:
            same = path.is_symlink() and os.fsdecode(path.readlink()) == listing.target(entry)
        else:
            plain = not path.is_symlink() and path.is_file() and _is_mode(path, entry)
            same = plain and _blob_id(path, entry.id) == entry.id
        if same:
            self._seen[entry.path] = entry.id, marks
        return same

    def _folder(self, path: Path) -> None:
        """Create a directory and its parents, none of which may be a link."""
        for each in (*self._around(path), path) if path != self.directory else ():
            if each.is_symlink():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(each))
            each.mkdir(exist_ok=True)

    def _is_behind_link(self, path: Path) -> bool:
        return any(each.is_symlink() for each in self._around(path))

    def _around(self, path: Path) -> Iterator[Path]:
        """Yield the parents of a path below the directory of the commit, from the top."""
        parts = path.relative_to(self.directory).parts
        yield from (self.directory.joinpath(*parts[:count]) for count in range(1, len(parts)))

    def _remove(self, path: Path) -> None:
        """Remove a file, or the directory of a submodule, and the parents that are empty after that."""
        if self._is_behind_link(path):
            return
        with contextlib.suppress(NotADirectoryError):  # its parent is a file now
            if path.is_dir() and not path.is_symlink():
                _remove_if_empty(path)
            else:
                path.unlink(missing_ok=True)
        for around in reversed([*self._around(path)]):
            if not around.is_dir() or not _remove_if_empty(around):
                break


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True


def _marks(path: Path) -> tuple[int, ...]:
    """Return the marks of a file. Every edit changes at least one, because no program can set the ctime of an inode."""
    status = path.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode


def _is_mode(path: Path, entry: Entry) -> bool:
    return bool(path.stat().st_mode & 0o100) is entry.is_executable


def _blob_id(path: Path, like: str) -> str:
    """Return the id that git gives the content of a file. `like` is an id of the same repository."""
    digest = hashlib.new("sha1" if len(like) == 40 else "sha256", usedforsecurity=False)  # noqa: PLR2004
    with path.open("rb") as file:
        digest.update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
