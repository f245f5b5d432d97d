"""Write files of a commit to a directory when a reader needs them.

Called by wiring.foreign. sources.foreign names the files, charts and directories that Apps bring, and reads them below
the directory afterwards.

Invariant: only named files are read, so any other file of the repository may be missing or too large. Held by
tests/wiring/test_commits_of_plans.py.
Invariant: a name is a file, a directory or nothing, exactly as in a checkout. Held by
tests/git/test_commits.py::test_a_commit_has_what_its_checkout_has.
Refused: laying out the whole commit first. Most files of a large repository are not about deployment.
"""

import asyncio
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from bateau.domain.errors import SourceError
from bateau.sources.git.listing import Entry, Found, Listing, shown
from bateau.sources.git.objects import GitObjects
from bateau.sources.git.work_tree import WorkTree

_OID: Final = b"oid sha256:"
_SUBMODULE_HINT: Final = (
    "copy its files into this repository, or render the work tree: `bateau render -o`, `plan --against`"
)


class CommitFiles:
    """The files of a commit, laid out in `directory` as they are named. Satisfies `sources.foreign.tree.Files`.

    It runs git itself, so it is not for use inside an event loop.
    """

    def __init__(self, objects: GitObjects, listing: Listing, commit_id: str, directory: Path) -> None:
        self._objects = objects
        self._listing = listing
        self._commit_id = commit_id
        self._tree = WorkTree(directory)
        self._written: set[str] = set()

    def need(self, names: Collection[str]) -> None:
        """Lay out the files with these names. Of a directory, only itself; a name that does not exist is left out.

        Raises the SourceError family and ControlError.
        """
        self._write([entry for name in names for entry in self._entries(self._found(name))])

    def need_all(self, name: str) -> None:
        """Lay out a file, or a directory with everything in it and everything that its links lead to.

        Raises the SourceError family and ControlError.
        """
        entries: dict[str, Entry] = {}
        waiting, seen = [name], set[str]()
        while waiting:
            found = self._found(waiting.pop())
            entries |= {entry.path: entry for entry in self._entries(found)}
            if found.path is None or found.path in seen or not self._listing.is_folder(found.path):
                continue
            seen.add(found.path)
            for entry in self._listing.below(found.path):
                if entry.is_file:
                    entries[entry.path] = entry
                else:
                    waiting.append(entry.path)
        self._write([*entries.values()])

    def is_file(self, name: str) -> bool:
        """Whether `name` is a file, through links. A link that leads out counts, so that its reader refuses it."""
        found = self._listing.find(name)
        return found.path is None or (found.entry is not None and found.entry.is_file)

    def is_dir(self, name: str) -> bool:
        """Whether `name` is a directory, through links. A submodule is one."""
        found = self._listing.find(name)
        return found.path is not None and (self._listing.is_folder(found.path) or _is_submodule(found))

    def names(self, folder: str) -> list[tuple[str, bool]]:
        """Return the names in a directory, and whether each is a directory itself, not a link to one."""
        found = self._listing.find(folder)
        return [*self._listing.names(found.path).items()] if found.path is not None else []

    def _found(self, name: str) -> Found:
        found = self._listing.find(name)
        if found.entry is not None and found.entry.is_submodule:
            which = f"in the submodule {shown(found.entry.path)}" if found.inside else "a submodule"
            says = f"{shown(name)} is {which}, whose files are not in the commit"
            raise SourceError(says, hint=_SUBMODULE_HINT)
        if found.entry is not None and found.entry.is_link:
            self._listing.target(found.entry)  # raises
        return found

    def _entries(self, found: Found) -> Iterator[Entry]:
        """Yield the entries on the way, and create the directory that is there."""
        yield from found.links
        if found.entry is not None:
            yield found.entry
        elif found.path is not None and self._listing.is_folder(found.path):
            (self._tree.directory / found.path).mkdir(parents=True, exist_ok=True)

    def _write(self, entries: list[Entry]) -> None:
        new = [*{entry.path: entry for entry in entries if entry.path not in self._written}.values()]
        if new:
            asyncio.run(self._write_new(new))
            self._written |= {entry.path for entry in new}

    async def _write_new(self, entries: list[Entry]) -> None:
        self._tree.directory.mkdir(parents=True, exist_ok=True)
        pointers = await self._tree.write(entries, self._listing, self._objects.blobs, self._commit_id)
        if pointers and (large := await self._objects.large_files()) is not None:
            for path in pointers:
                _fill(self._tree.directory / path, large)


def _is_submodule(found: Found) -> bool:
    return found.entry is not None and found.entry.is_submodule and not found.inside


def _fill(path: Path, large: Path) -> None:
    """Put the content that Git LFS has fetched in the place of its pointer, as a checkout does."""
    for line in path.read_bytes().splitlines():
        oid = line.removeprefix(_OID).decode("ascii", "replace")
        content = large / oid[:2] / oid[2:4] / oid
        if line.startswith(_OID) and oid.isalnum() and content.is_file():
            shutil.copyfile(content, path)
