"""The directory from which foreign documents are read: names below it, and nothing outside of it.

Called by sources.foreign. For a commit, `Files` puts a file into the directory when it is first named.

Invariant: no file is read whose real place is outside of the directory, whatever links, `..` or absolute paths say.
Held by tests/sources/foreign/test_plain.py.
"""

import contextlib
import fnmatch
import functools
import itertools
import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from bateau.domain.errors import BateauError
from bateau.domain.problem import Problem
from bateau.kit.git_lfs import is_pointer
from bateau.kit.position import Position
from bateau.kit.suggest import did_you_mean

FILE_BYTES_MAX: Final = 16 * 2**20
FILES_MAX: Final = 20_000
OUTSIDE_HINT: Final = "copy the files into the directory of the specs, where they are reviewed"
_SEARCHED_FILES_MAX: Final = 20_000
_SEARCHED_BYTES_MAX: Final = 2**20
_MAGIC: Final = frozenset("*?[")


class Files(Protocol):
    """Files that are not all in the directory yet. `need` and `need_all` raise BateauError."""

    def need(self, names: Collection[str]) -> None:
        """Put files into the directory. Of a directory, only itself; a name that does not exist is left out."""
        ...

    def need_all(self, name: str) -> None:
        """Put a file, or a directory and everything in it, into the directory."""
        ...

    def is_file(self, name: str) -> bool:
        """Whether `name` is a file, through links."""
        ...

    def is_dir(self, name: str) -> bool:
        """Whether `name` is a directory, through links."""
        ...

    def names(self, folder: str) -> list[tuple[str, bool]]:
        """Return the names in a directory, and whether each is a directory itself, not a link to one."""
        ...


class Tree:
    """A directory and the names of the files below it: with `/`, relative to it, as positions have them."""

    def __init__(self, root: Path, files: Files | None = None) -> None:
        self.root = root
        self._real = Path(os.path.realpath(root))
        self._files = files

    def named(self, path: str, *, below: str) -> str | None:
        """Return the name below the tree for `path` in the directory `below`, or None if it is outside the tree."""
        name = os.path.normpath(PurePosixPath(below, path))
        if PurePosixPath(path).is_absolute() or name == ".." or name.startswith("../"):
            return None
        self.need([name])
        return name if self._inside(self.root / name) else None

    def need(self, names: Collection[str]) -> None:
        """Make sure that files are in the directory. Names that do not exist are allowed. Raises BateauError."""
        if self._files is not None:
            self._files.need(names)

    def need_all(self, name: str) -> None:
        """Make sure that everything below a directory is there. Raises BateauError."""
        if self._files is not None:
            self._files.need_all(name)

    def is_file(self, name: str) -> bool:
        """Whether there is a file, which is in the directory then. Raises BateauError."""
        self.need([name])
        return (self.root / name).is_file()

    def name_of(self, path: Path) -> str | None:
        """Return the name of a real path, or None if it is outside of the tree."""
        real = Path(os.path.realpath(path))
        return real.relative_to(self._real).as_posix() if real.is_relative_to(self._real) else None

    def matches(self, pattern: str) -> list[str]:
        """Return the names of the files that a glob matches, sorted. `**` goes down, but not through links.

        Hidden names are matched by patterns that name their dot.
        """
        found = sorted(set(self._expand("", pattern.split("/"))))
        self.need(found)
        return found

    def text(self, name: str, *, where: Position | None) -> str | Problem:
        """Return the content of a file. Bytes that are not UTF-8 become surrogates, which yaml_tree expects."""
        self.need([name])
        path = self.root / name
        if not self._inside(path):
            return Problem(where=where, says=f"`{name}` leads out of the directory of the specs", hint=OUTSIDE_HINT)
        try:
            size = path.stat().st_size
            if size > FILE_BYTES_MAX:
                says = f"{name} has {size:,} bytes; more than {FILE_BYTES_MAX:,} are not read"
                return Problem(where=where, says=says, hint="split it")
            content = path.read_bytes()
        except OSError as error:
            return Problem(where=where, says=f"{name} cannot be read: {error.strerror}")
        if is_pointer(content):
            says = f"{name} is a pointer of Git LFS, and not the file itself"
            return Problem(where=where, says=says, hint="run `git lfs pull`, or keep the file out of LFS")
        return content.decode("utf-8", "surrogateescape")

    def instead(self, name: str) -> str | None:
        """Return a hint that names a similar file in the same directory, for a name that does not exist."""
        folder = str(PurePosixPath(name).parent)
        if not self._is_dir(folder):
            return f"there is no directory `{folder}`"
        return did_you_mean(PurePosixPath(name).name, sorted(each for each, _ in self._entries(folder)))

    def _is_dir(self, name: str) -> bool:
        if self._files is not None:
            return self._files.is_dir(name)
        return (self.root / name).is_dir() and self._inside(self.root / name)

    @functools.cached_property
    def substitutes(self) -> bool:
        """Whether a Flux Kustomization below the tree substitutes variables (`postBuild`).

        Looked for once, in the YAML files outside hidden directories, up to a bound.
        """
        names = [*itertools.islice(self._yaml_files(""), _SEARCHED_FILES_MAX)]
        with contextlib.suppress(BateauError):  # no App names these files, so they do not have to be readable
            self.need(names)
        for name in names:
            path = self.root / name
            with contextlib.suppress(OSError):
                if self._inside(path) and path.stat().st_size <= _SEARCHED_BYTES_MAX:
                    content = path.read_bytes()
                    if b"postBuild:" in content and b"kustomize.toolkit.fluxcd.io/" in content:
                        return True
        return False

    def _yaml_files(self, folder: str) -> Iterator[str]:
        for name, is_folder in self._entries(folder):
            if not is_folder and name.endswith((".yaml", ".yml")):
                yield str(PurePosixPath(folder, name))
        for name in self._folders(folder):
            yield from self._yaml_files(name)

    def _inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self._real)

    def _expand(self, folder: str, segments: list[str]) -> Iterator[str]:
        head, *rest = segments
        if head == "**":
            yield from self._expand(folder, rest or ["*"])
            for name in self._folders(folder):
                yield from self._expand(name, segments)
            return
        for name in self._named(folder, head):
            if rest and self._is_dir(name):
                yield from self._expand(name, rest)
            elif not rest and self._is_file(name):
                yield name

    def _is_file(self, name: str) -> bool:
        return self._files.is_file(name) if self._files is not None else (self.root / name).is_file()

    def _named(self, folder: str, pattern: str) -> list[str]:
        if not is_glob(pattern):
            return [str(PurePosixPath(folder, pattern))]
        hidden = pattern.startswith(".")
        return [
            str(PurePosixPath(folder, name))
            for name, _ in self._entries(folder)
            if fnmatch.fnmatchcase(name, pattern) and (hidden or not name.startswith("."))
        ]

    def _folders(self, folder: str) -> list[str]:
        return [
            str(PurePosixPath(folder, name))
            for name, is_folder in self._entries(folder)
            if is_folder and not name.startswith(".")
        ]

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        """Return the names in a directory, and whether each is a directory itself; none if it cannot be listed."""
        if self._files is not None:
            return self._files.names(folder)
        try:
            with os.scandir(self.root / folder) as entries:
                return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            return []


def is_glob(path: str) -> bool:
    """Whether a path contains `*`, `?` or `[`."""
    return not _MAGIC.isdisjoint(path)
