"""The directory that foreign documents are read from: names below it, and nothing outside of it.

Called by plain, kustomize and helm.

Invariant: no file is read whose real place is outside of the directory, whatever links, `..` or absolute paths say.
"""

import contextlib
import fnmatch
import functools
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from bateau.domain.problem import Problem
from bateau.kit.position import Position
from bateau.kit.suggest import did_you_mean

FILE_BYTES_MAX: Final = 16 * 2**20
FILES_MAX: Final = 2000
OUTSIDE_HINT: Final = "copy what is needed below the directory of the specs, so that it is reviewed with them"
_SEARCHED_FILES_MAX: Final = 20_000
_SEARCHED_BYTES_MAX: Final = 2**20
_MAGIC: Final = frozenset("*?[")


class Tree:
    """A directory and the names of the files below it: with `/`, relative to it, as positions have them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = Path(os.path.realpath(root))

    def named(self, path: str, *, below: str) -> str | None:
        """Return the name of what `path` says in the directory `below`, or None where that is outside of the tree."""
        name = os.path.normpath(PurePosixPath(below, path))
        if PurePosixPath(path).is_absolute() or name == ".." or name.startswith("../"):
            return None
        return name if self._inside(self.root / name) else None

    def name_of(self, path: Path) -> str | None:
        """Return the name of a real path, or None where it is outside of the tree."""
        real = Path(os.path.realpath(path))
        return real.relative_to(self._real).as_posix() if real.is_relative_to(self._real) else None

    def matches(self, pattern: str) -> list[str]:
        """Return the names of the files that a glob matches, sorted. `**` goes down, but not through links.

        Hidden names are matched by patterns that name their dot.
        """
        return sorted(set(self._expand("", pattern.split("/"))))

    def text(self, name: str, *, where: Position | None) -> str | Problem:
        """Return the content of a file. Bytes that are not UTF-8 become surrogates, as yaml_tree wants them."""
        path = self.root / name
        if not self._inside(path):
            return Problem(where=where, says=f"`{name}` leads out of the directory of the specs", hint=OUTSIDE_HINT)
        try:
            size = path.stat().st_size
            if size > FILE_BYTES_MAX:
                says = f"{name} has {size:,} bytes; more than {FILE_BYTES_MAX:,} are not read"
                return Problem(where=where, says=says, hint="split it")
            return path.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            return Problem(where=where, says=f"{name} cannot be read: {error.strerror}")

    def instead(self, name: str) -> str | None:
        """Return a hint that names a neighbour of what does not exist."""
        folder = self.root / PurePosixPath(name).parent
        if not folder.is_dir() or not self._inside(folder):
            return f"there is no directory `{PurePosixPath(name).parent}`"
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names are what is compared
        return did_you_mean(PurePosixPath(name).name, names)

    @functools.cached_property
    def substitutes(self) -> bool:
        """Whether a Flux Kustomization below the tree substitutes variables (`postBuild`).

        Looked for once, in the YAML files outside hidden directories, up to a bound.
        """
        for number, path in enumerate(self._yaml_files("")):
            if number >= _SEARCHED_FILES_MAX:
                break
            with contextlib.suppress(OSError):
                if (self.root / path).stat().st_size <= _SEARCHED_BYTES_MAX:
                    content = (self.root / path).read_bytes()
                    if b"postBuild:" in content and b"kustomize.toolkit.fluxcd.io/" in content:
                        return True
        return False

    def _yaml_files(self, folder: str) -> Iterator[str]:
        for each in self._entries(folder):
            if each.is_file(follow_symlinks=False) and each.name.endswith((".yaml", ".yml")):
                yield str(PurePosixPath(folder, each.name))
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
            path = self.root / name
            if rest and path.is_dir() and self._inside(path):
                yield from self._expand(name, rest)
            elif not rest and path.is_file():
                yield name

    def _named(self, folder: str, pattern: str) -> list[str]:
        if not is_glob(pattern):
            return [str(PurePosixPath(folder, pattern))]
        hidden = pattern.startswith(".")
        return [
            str(PurePosixPath(folder, each.name))
            for each in self._entries(folder)
            if fnmatch.fnmatchcase(each.name, pattern) and (hidden or not each.name.startswith("."))
        ]

    def _folders(self, folder: str) -> list[str]:
        return [
            str(PurePosixPath(folder, each.name))
            for each in self._entries(folder)
            if each.is_dir(follow_symlinks=False) and not each.name.startswith(".")
        ]

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                return list(entries)
        except OSError:
            return []  # what cannot be listed matches nothing


def is_glob(path: str) -> bool:
    """Say whether a path has `*`, `?` or `[` in it."""
    return not _MAGIC.isdisjoint(path)
