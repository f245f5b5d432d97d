"""Read the spec files below a directory, and watch them.

Called by control through ports.texts.

Invariant: hidden directories, virtual environments and dependencies of other tools are not looked into, and links are
not followed out of the tree.
"""

import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from bateau.domain.errors import ControlError

_SKIPPED = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})
_ENDINGS = (".yaml", ".yml")
_READ_BYTES_MAX = 4 * 2**20  # whatever is longer than specs may be, the reader tells by so much of it
DEBOUNCE_MS = 50
HOLD_S = 1.0
_LOOK_S = 5.0


class SpecFiles:
    """All *.yaml and *.yml below a directory; file names are relative to it.

    `default` is served where no file speaks of Bateau, and only until one does: whoever empties or removes a spec later
    wants less to run, not something else.
    """

    def __init__(self, directory: Path, *, default: Mapping[str, str]) -> None:
        self._directory = directory
        self._default = default
        self._known: dict[str, str] = {}
        self.passed_over: list[tuple[str, str]] = []  # names of what was not read, and why
        self._holds = False  # whether a file that was emptied a moment ago is read as it was before

    @property
    def place(self) -> str:
        """The directory."""
        return str(self._directory)

    @property
    def commit_id(self) -> str | None:
        """Files on disk are of no commit: they may have been edited since."""
        return None

    def read(self) -> Mapping[str, str]:
        """Return the files' content by name. Raises ControlError where the directory or a file cannot be read."""
        try:
            found = self._paths()
            self._holds = False
            texts = {name: self._content(name, path) for name, path in found.items()}
        except FileNotFoundError as error:
            if not self._directory.is_dir():
                raise self._gone() from error
            return self.read()  # a file went away between listing and reading
        except OSError as error:
            raise ControlError(f"cannot read {error.filename}: {error.strerror}") from error
        self._known = texts
        if any("bateau.dev/" in text for text in texts.values()):
            self._default = dict[str, str]()
            return texts
        return {**texts, **self._default}

    async def changes(self) -> AsyncIterator[None]:
        """Yield when a spec file was written, made or removed, and when the directory goes or comes back."""
        # Only who watches needs them: `explain` and `check` begin without.
        import asyncio

        from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] - its stop event is untyped

        while True:
            watched = self._identity()
            if watched is None:
                await asyncio.sleep(_LOOK_S)
                if self._identity() is not None:
                    yield
                continue
            async for changed in awatch(
                self._directory,
                watch_filter=lambda _change, path: path.endswith(_ENDINGS),
                debounce=DEBOUNCE_MS * 4,
                step=DEBOUNCE_MS,
                rust_timeout=int(_LOOK_S * 1000),
                yield_on_timeout=True,
                ignore_permission_denied=True,
            ):
                if changed:
                    yield
                    if self._holds:
                        await asyncio.sleep(HOLD_S)
                        yield
                if self._identity() != watched:
                    yield  # another directory has its name now, or none: what was watched is no more
                    break

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._directory.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _gone(self) -> ControlError:
        return ControlError(
            f"{self._directory} does not exist any more", hint="what runs goes on; make it again, or `bateau down`"
        )

    def _paths(self) -> dict[str, str]:
        """Return the path of each spec file by its name, in the order of the names."""
        if not self._directory.is_dir():
            raise FileNotFoundError(self._directory)
        found: dict[str, str] = {}
        self.passed_over = []
        waiting = [""]
        while waiting:
            below = waiting.pop()
            with os.scandir(self._directory / below) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in _SKIPPED:
                            waiting.append(f"{below}{entry.name}/")
                    elif entry.name.endswith(_ENDINGS):
                        if why := self._not_read(entry):
                            self.passed_over.append((f"{below}{entry.name}", why))
                        else:
                            found[f"{below}{entry.name}"] = entry.path
        return dict(sorted(found.items()))

    def _not_read(self, entry: os.DirEntry[str]) -> str | None:
        """Return why it is not read: it is no file, or a link that leads nowhere, or out of the tree."""
        if not entry.is_symlink():
            return None if entry.is_file() else "is no file"
        target = Path(entry.path).resolve()
        if not target.is_file():
            return "is a link that leads to no file"
        return None if target.is_relative_to(self._directory.resolve()) else "is a link out of the directory"

    def _content(self, name: str, path: str) -> str:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path takes longer to make than a file to open
            status = os.fstat(file.fileno())
            if status.st_size == 0 and self._known.get(name) and time.time() - status.st_mtime < HOLD_S:
                # `generate > chat.yaml` empties the file before it writes: nothing is stopped for that.
                self._holds = True
                return self._known[name]
            # So much and no more at once: what is asked for is set aside, however short the file is.
            return file.read(min(status.st_size, _READ_BYTES_MAX) + 1).decode("utf-8", "surrogateescape")
