"""Read the spec files below a directory, and watch them.

Called by control through ports.texts.

Invariant: hidden directories, virtual environments and dependencies of other tools are not looked into, and links are
not followed out of the tree.
"""

import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from bateau.domain.errors import ControlError

_SKIPPED = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})
_ENDINGS = (".yaml", ".yml")
FILE_BYTES_MAX = 50 * 2**20
DEBOUNCE_MS = 50


class SpecFiles:
    """All *.yaml and *.yml below a directory; file names are relative to it. `extra` is there besides."""

    def __init__(self, directory: Path, *, default: Mapping[str, str]) -> None:
        self._directory = directory
        self._default = default

    @property
    def place(self) -> str:
        """The directory."""
        return str(self._directory)

    @property
    def commit(self) -> str | None:
        """Files on disk are of no commit: they may have been edited since."""
        return None

    def read(self) -> Mapping[str, str]:
        """Return the files' content by name; where none mentions Bateau, the default that was given."""
        found: dict[str, str] = {}
        try:
            for path in sorted(self._paths()):
                name = str(path.relative_to(self._directory))
                found[name] = _content(path)
        except FileNotFoundError as error:
            if not self._directory.exists():
                raise ControlError(f"{self._directory} does not exist any more") from error
            return self.read()  # a file went away between listing and reading
        except OSError as error:
            raise ControlError(f"cannot read {error.filename}: {error.strerror}") from error
        if any("bateau.dev/" in text for text in found.values()):
            return found
        return {**found, **self._default}

    async def changes(self) -> AsyncIterator[None]:
        """Yield when a spec file was written, made or removed."""
        from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] - its stop event is untyped

        async for _ in awatch(
            self._directory,
            watch_filter=lambda _change, path: path.endswith(_ENDINGS),
            debounce=DEBOUNCE_MS * 4,
            step=DEBOUNCE_MS,
            rust_timeout=60_000,
            yield_on_timeout=False,
            ignore_permission_denied=True,
        ):
            yield

    def _paths(self) -> list[Path]:
        found: list[Path] = []
        for folder, folders, files in os.walk(self._directory, onerror=_ignore_unreadable):
            folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
            found += [Path(folder, name) for name in files if name.endswith(_ENDINGS) and not name.startswith(".")]
        return [path for path in found if path.is_file() and path.resolve().is_relative_to(self._directory.resolve())]


def _ignore_unreadable(_error: OSError) -> None:
    """A folder that cannot be listed holds nothing for us; `check` counts what it has read."""


def _content(path: Path) -> str:
    if path.stat().st_size > FILE_BYTES_MAX:
        return ""
    return path.read_bytes().decode("utf-8", errors="replace")
