"""Read the spec files below a directory, and watch them.

Called by wiring. control uses it through ports.texts.

Invariant: spec_names alone decides which files are read, and a link is followed only to a file in the directory. Held
by tests/sources/test_spec_files.py and
tests/wiring/test_odd_input.py::test_links_and_pipes_that_are_not_read_are_named.
"""

import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.sources.spec_names import ENDINGS, IGNORE_FILE, READ_BYTES_MAX, SpecNames, is_hidden, is_spec_file

SETTLE_S: Final = 0.05
HOLD_S: Final = 1.0
_LOOK_S: Final = 5.0


class SpecFiles:
    """All *.yaml and *.yml files below a directory that `.bateauignore` does not exclude. Names are relative to it.

    `default` is returned until a file mentions Bateau for the first time: a user who empties or removes a spec later
    wants fewer services, not another one.
    """

    def __init__(self, directory: Path, *, default: Mapping[str, str]) -> None:
        self._directory = directory
        self._default = default
        self._known: dict[str, str] = {}
        self._names = SpecNames()
        self._ignored: list[str] = []  # files, and directories, whose names end with "/"
        self.unread: list[tuple[str, str]] = []  # names of files that cannot be read, and the reason
        self._holds = False  # whether a file that has just been emptied is read with its previous content

    @property
    def place(self) -> str:
        """The directory."""
        return str(self._directory)

    @property
    def commit_id(self) -> str | None:
        """Always None, because files on disk may have been edited since any commit."""
        return None

    @property
    def default(self) -> Mapping[str, str]:
        """The default, while it is returned; none after a file has mentioned Bateau."""
        return self._default

    def read(self) -> Mapping[str, str]:
        """Return the content of each file by its name. Raises ControlError if the directory or a file is unreadable."""
        try:
            found = self._paths()
            self._holds = False
            texts = {name: self._content(name, path) for name, path in found.items()}
        except FileNotFoundError as error:
            if not self._directory.is_dir():
                raise self._gone() from error
            return self.read()  # a file was removed after it was listed
        except OSError as error:
            hint = f"make it readable, or exclude it in {IGNORE_FILE}"
            raise ControlError(f"cannot read {error.filename}: {error.strerror}", hint=hint) from error
        self._known = texts
        if any("bateau.dev/" in text for text in texts.values()):
            self._default = dict[str, str]()
            return texts
        return {**texts, **self._default}

    def count_ignored(self) -> int:
        """Return the number of spec files that `.bateauignore` excluded from the last reading."""
        count = 0
        for name in self._ignored:
            if not name.endswith("/"):
                count += 1
                continue
            for _, folders, files in os.walk(self._directory / name):
                folders[:] = [folder for folder in folders if not is_hidden(folder)]
                count += sum(map(is_spec_file, files))
        return count

    async def changes(self) -> AsyncIterator[None]:
        """Yield when a spec file is written, created or removed, and when the directory vanishes or reappears."""
        # Imported here, because `explain` and `check` do not watch and start faster without these.
        import asyncio

        from bateau.kit.inotify import Inotify

        while True:
            watched = self._identity()
            if watched is None:
                await asyncio.sleep(_LOOK_S)
                if self._identity() is not None:
                    yield
                continue
            with Inotify(self._directory, is_left_out=is_hidden) as watch:
                async for paths in watch.changes(settle_s=SETTLE_S, settle_s_max=4 * SETTLE_S, look_s=_LOOK_S):
                    if any(path.endswith((*ENDINGS, IGNORE_FILE, "/")) for path in paths):
                        yield
                        if self._holds:
                            await asyncio.sleep(HOLD_S)
                            yield
                    if self._identity() != watched:
                        yield  # the name now belongs to another directory, or to none
                        break

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._directory.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _gone(self) -> ControlError:
        hint = "running services continue; create it again, or run `bateau down`"
        return ControlError(f"{self._directory} no longer exists", hint=hint)

    def _paths(self) -> dict[str, str]:
        """Return the path of each spec file by its name, in the order of the names."""
        if not self._directory.is_dir():
            raise FileNotFoundError(self._directory)
        self._names = SpecNames(self._patterns())
        self._ignored = []
        self.unread = []
        found: dict[str, str] = {}
        links: dict[str, str] = {}
        waiting = [""]
        while waiting:
            below = waiting.pop()
            with os.scandir(self._directory / below) as entries:
                for entry in entries:
                    name = f"{below}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        if self._is_searched(name, entry.name):
                            waiting.append(f"{name}/")
                    elif is_spec_file(entry.name) and not self._is_ignored(name):
                        if entry.is_symlink():
                            links[name] = entry.path
                        elif entry.is_file():
                            found[name] = entry.path
                        else:
                            self.unread.append((name, "is not a regular file"))
        found |= self._followed(links, found)
        return dict(sorted(found.items()))

    def _is_searched(self, folder: str, name: str) -> bool:
        if is_hidden(name):
            return False
        if self._names.is_ignored(folder, directory=True):
            self._ignored.append(f"{folder}/")
            return False
        return True

    def _is_ignored(self, name: str) -> bool:
        if self._names.is_ignored(name):
            self._ignored.append(name)
            return True
        return False

    def _patterns(self) -> str:
        path = self._directory / IGNORE_FILE
        if not path.is_file() or not path.resolve().is_relative_to(self._directory.resolve()):
            return ""
        return path.read_bytes().decode("utf-8", "surrogateescape")

    def _followed(self, links: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
        """Return the links to files in the directory that are not read yet, and record all others in `unread`."""
        found: dict[str, str] = {}
        top = self._directory.resolve() if links else self._directory
        for name, path in links.items():
            # Not Path.resolve, which raises RuntimeError in Python 3.11 if links form a circle.
            target = Path(os.path.realpath(path))
            if not target.is_file():
                what = (
                    "is a link, but not to a regular file"
                    if target.exists()
                    else "is a link to a file that does not exist"
                )
                self.unread.append((name, what))
            elif not target.is_relative_to(top):
                self.unread.append((name, "is a link to a file outside the directory"))
            elif target.relative_to(top).as_posix() not in files:
                found[name] = path
        return found

    def _content(self, name: str, path: str) -> str:
        with open(path, "rb") as file:  # noqa: PTH123 - making a Path takes longer than opening the file
            status = os.fstat(file.fileno())
            if status.st_size == 0 and self._known.get(name) and time.time() - status.st_mtime < HOLD_S:
                # `generate > chat.yaml` empties the file before it writes. That must not stop a service.
                self._holds = True
                return self._known[name]
            # Never ask for more than the size of the file, because the buffer is allocated at once.
            return file.read(min(status.st_size + 1, READ_BYTES_MAX)).decode("utf-8", "surrogateescape")
