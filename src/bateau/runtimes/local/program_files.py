"""Remember the files that a process is started from, and report the ones that have changed on disk since.

Called by runtimes.local.launch, runtimes.local.records and runtimes.local.upkeep.

Invariant: reads no content. A file counts as changed if its inode, size or time of modification differs (stat(2)).
Held by tests/runtimes/test_program_files.py.
Refused: to watch every file that a process opens; data files change all the time, and a warning would mean nothing.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bateau.domain.replica import ChangedFile

# A word of a command that names a file with one of these suffixes is code or a model, and not data.
_SUFFIXES = frozenset({
    ".bash", ".cjs", ".exs", ".gguf", ".jar", ".jl", ".js", ".lua", ".mjs", ".onnx", ".pex", ".php", ".pl", ".py",
    ".pyz", ".r", ".rb", ".safetensors", ".sh", ".tcl", ".ts", ".tsx", ".war", ".wasm",
})  # fmt: skip
_MODEL_OPTION = "--model"
_MODULE_OPTION = "-m"
FILES_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMark:
    """A file as it was when a process was started from it."""

    path: str
    inode: int
    size_bytes: int
    modified_ns: int


def marks_of(command: Sequence[str], *, directory: str | None, search_path: str | None) -> tuple[FileMark, ...]:
    """Return marks of the program, of scripts and modules in its arguments, and of models.

    `search_path` is the PATH of the process. A file that does not exist, or that may not be read, has no mark.
    """
    marks: dict[str, FileMark] = {}
    for path in _files(command, Path(directory or "."), search_path):
        mark = _mark(path)
        if mark is not None and len(marks) < FILES_MAX:
            marks.setdefault(mark.path, mark)
    return tuple(marks.values())


def changes(marks: Sequence[FileMark] | None) -> tuple[ChangedFile, ...] | None:
    """Return the files that have changed; None if that is unknown: without marks, or if a file cannot be examined."""
    if marks is None:
        return None
    found: list[ChangedFile] = []
    for mark in marks:
        try:
            now = _mark(Path(mark.path), strict=True)
        except FileNotFoundError:
            now = None
        except OSError:
            return None
        if now is None:
            found.append(ChangedFile(path=mark.path, how="removed"))
        elif now.inode != mark.inode:
            found.append(ChangedFile(path=mark.path, how="replaced"))
        elif now != mark:
            found.append(ChangedFile(path=mark.path, how="edited"))
    return tuple(found)


def _files(command: Sequence[str], directory: Path, search_path: str | None) -> Iterator[Path]:
    for place, word in enumerate(command):
        if place == 0:
            program = directory / word if "/" in word else shutil.which(word, path=search_path)
            if program is not None:
                yield Path(program)
            continue
        before = command[place - 1]
        if before == _MODULE_OPTION:
            yield from _module(word, directory)
        for each in (word, word.partition("=")[2]):
            if each and (before == _MODEL_OPTION or _is_code(directory / each)):
                yield directory / each


def _module(name: str, directory: Path) -> Iterator[Path]:
    """Yield the possible files of a Python module, if it is below the directory that the process runs in."""
    if all(part.isidentifier() for part in name.split(".")):
        base = directory.joinpath(*name.split("."))
        yield from (base.with_suffix(".py"), base / "__init__.py", base / "__main__.py")


def _is_code(path: Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        return path.is_absolute() and path.is_file() and os.access(path, os.X_OK)
    except (OSError, ValueError):  # a long argument, or one with NUL, names no file
        return False


def _mark(path: Path, *, strict: bool = False) -> FileMark | None:
    """Return the mark of a regular file; None if there is none, or with `strict` OSError."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        if strict:
            raise
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileMark(
        path=os.path.abspath(path),  # noqa: PTH100 - resolve() would follow the link that is replaced later
        inode=status.st_ino,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
    )
