"""Lay the files of a commit out in a directory, as a checkout would.

Called by wiring.repository, again and again, and by wiring.foreign for a commit that is compared.

Invariant: only files that a commit has brought are ever changed or removed.
"""

import contextlib
import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.sources.git import GitFile

_IN_THE_WAY: Final = "something that no commit brought stands where the commit has another; move it away"
_HINTS: Final = {errno.EISDIR: _IN_THE_WAY, errno.ENOTDIR: _IN_THE_WAY, errno.EEXIST: _IN_THE_WAY}


def lay_out(directory: Path, files: Mapping[str, GitFile]) -> list[str]:
    """Make files below `directory` those of a commit; return the names of those that were not.

    What an earlier commit had and this one has not goes; what a program has written beside them stays. Raises
    ControlError where the disk does not let us.
    """
    listing = directory.with_name(f"{directory.name}.files")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = listing.read_text("utf-8", "surrogateescape").split("\0") if listing.is_file() else []
        # First, so that what is written and not yet listed as written can never be left behind.
        listing.write_text("\0".join({*before, *files}), "utf-8", "surrogateescape")
        # Before anything is written, as a directory may have become a file, or a file a directory.
        for name in sorted({*before} - files.keys() - {""}, reverse=True):
            _remove(directory, directory / name)
        written = [name for name, file in files.items() if _write(directory / name, file)]
        listing.write_text("\0".join(files), "utf-8", "surrogateescape")
    except OSError as error:
        hint = _HINTS.get(error.errno or 0)
        where = error.filename2 or error.filename or directory
        raise ControlError(f"cannot lay out the commit in {directory}: {where}: {error.strerror}", hint=hint) from error
    return written


def _write(path: Path, file: GitFile) -> bool:
    """Write a file unless it is as it should be; return whether it was not."""
    if _is_as(path, file):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    if file.link:
        partial.symlink_to(os.fsdecode(file.content))
    else:
        partial.write_bytes(file.content)
        partial.chmod(0o755 if file.executable else 0o644)
    partial.replace(path)
    return True


def _is_as(path: Path, file: GitFile) -> bool:
    if path.is_symlink() or file.link:
        return file.link and path.is_symlink() and os.fsencode(path.readlink()) == file.content
    if not path.is_file():
        return False
    return bool(path.stat().st_mode & 0o100) is file.executable and path.read_bytes() == file.content


def _remove(top: Path, path: Path) -> None:
    """Remove a file, and the directories around it that are empty then."""
    with contextlib.suppress(NotADirectoryError):  # what held it is a file now
        path.unlink(missing_ok=True)
    for around in path.parents:
        if around == top or not around.is_dir() or any(around.iterdir()):
            break
        around.rmdir()
