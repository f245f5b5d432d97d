"""The names in a commit below one folder, and where its links lead. Pure.

Made by objects; read by work_tree and commit_files.

Invariant: a link is followed as the file system of a checkout would follow it, and never out of the folder. Held by
tests/git/test_commits.py::test_a_commit_has_what_its_checkout_has.
Refused: trees that `git checkout` also rejects, for example because a file is named `.git`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bateau.domain.errors import SourceDamaged, SourceError
from bateau.sources.git.process import DAMAGED_HINT

_LINK, _SUBMODULE, _EXECUTABLE = "120000", "160000", "100755"
_LINKS_MAX: Final = 40  # as Linux has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, a link or a submodule of a commit; `id` is that of its content."""

    path: str
    mode: str
    id: str

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == _LINK

    @property
    def is_submodule(self) -> bool:
        """Whether it is a commit of another repository, whose files are not here."""
        return self.mode == _SUBMODULE

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return not (self.is_link or self.is_submodule)

    @property
    def is_executable(self) -> bool:
        """Whether it is a file that may be run."""
        return self.mode == _EXECUTABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The end of a path: `path` without links, or None if it leads out of the folder, in a circle, or nowhere known.

    `links` are the links that were followed, and `entry` the file, link or submodule there, if there is one. A link is
    an entry only if its target could not be read. `inside` is the rest of the path below a submodule.
    """

    path: str | None
    links: tuple[Entry, ...] = ()
    entry: Entry | None = None
    inside: str = ""


class Listing:
    """Everything in a commit below one folder, by its path from there. `targets` has the target of each link."""

    def __init__(self, entries: Iterable[Entry], targets: Mapping[str, str]) -> None:
        """Raises SourceError for names that a checkout cannot have."""
        self.entries: Mapping[str, Entry] = {entry.path: entry for entry in entries}
        self._targets = targets
        self._children: dict[str, dict[str, bool]] = {"": {}}
        for entry in self.entries.values():
            self._add(entry)

    def find(self, path: str) -> Found:
        """Follow `path` ("a/../b") from the folder, through links."""
        waiting = path.split("/")[::-1]
        at: list[str] = []
        links: list[Entry] = []
        while waiting:
            part = waiting.pop()
            if part == ".." and not at:
                return Found(path=None, links=tuple(links))
            if part == "..":
                at.pop()
            elif part not in {"", "."}:
                at.append(part)
            entry = self.entries.get("/".join(at))
            if entry is None:
                continue
            if entry.is_submodule:
                rest = "/".join(each for each in reversed(waiting) if each not in {"", "."})
                return Found(path=entry.path, links=tuple(links), entry=entry, inside=rest)
            if not entry.is_link:
                continue
            target = self._targets.get(entry.path)
            if target is None:
                return Found(path=entry.path, links=tuple(links), entry=entry)
            links.append(entry)
            if target.startswith("/") or len(links) > _LINKS_MAX:
                return Found(path=None, links=tuple(links))
            at.pop()
            waiting += target.split("/")[::-1]
        real = "/".join(at)
        return Found(path=real, links=tuple(links), entry=self.entries.get(real))

    def target(self, link: Entry) -> str:
        """Return the target of a link. Raises SourceError if the repository does not have it."""
        if link.path not in self._targets:
            says = f"the repository does not have the target of the link {shown(link.path)}"
            raise SourceDamaged(says, hint=DAMAGED_HINT)
        return self._targets[link.path]

    def is_folder(self, path: str) -> bool:
        """Whether there is a directory at `path`, which has no links in it."""
        return path in self._children

    def names(self, folder: str) -> Mapping[str, bool]:
        """Return the names in a directory, and whether each is a directory. Empty if there is no such directory."""
        return self._children.get(folder, {})

    def below(self, folder: str) -> list[Entry]:
        """Return every entry in a directory and the directories below it."""
        prefix = f"{folder}/" if folder else ""
        return [entry for path, entry in self.entries.items() if path.startswith(prefix)]

    def _add(self, entry: Entry) -> None:
        above, _, name = entry.path.rpartition("/")
        folder = self._folder(above)
        if name in folder or _is_refused(name):
            raise _refused(entry.path)
        folder[name] = entry.is_submodule

    def _folder(self, path: str) -> dict[str, bool]:
        if path not in self._children:
            above, _, name = path.rpartition("/")
            folder = self._folder(above)
            if name in folder or _is_refused(name):
                raise _refused(path)
            folder[name] = True
            self._children[path] = {}
        return self._children[path]


def _is_refused(name: str) -> bool:
    return name in {"", ".", ".."} or name.lower() == ".git"


def _refused(path: str) -> SourceError:
    return SourceError(f"the commit has a file `{shown(path)}`, which `git checkout` also rejects", hint="rename it")


def shown(path: str) -> str:
    r"""Return a path for messages: without control characters, and without bytes that are not UTF-8.

    >>> shown("a\nb\udcff.yaml")
    'a?b?.yaml'
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "?", path)
