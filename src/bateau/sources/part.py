"""The part of a file that has arrived, its running checksum, and the state to resume it after an interruption.

Called by sources.download.

Invariant: the bytes on disk and the running checksum always agree. A part that cannot be resumed is emptied. Held by
tests/sources/test_part.py and tests/sources/test_download.py.
"""

import hashlib
import os
from pathlib import Path

from bateau.sources.cache import read_json, write_json
from bateau.sources.http import shown

_CHUNK_BYTES = 1 << 20
_CHUNKS_AT_ONCE = 64


class Part:
    """The part at `KEY.part`, with its state in `KEY.json`. Used by one thread at a time, under a lock."""

    def __init__(self, path: Path, *, reference: str) -> None:
        self.path = path
        self._state = path.with_suffix(".json")
        self._reference = shown(reference)
        self._sha256 = hashlib.sha256()
        self._descriptor = -1
        self.position = 0
        self.etag: str | None = None
        self.is_joined = False  # whether its bytes come from more than one answer

    def open(self, *, has_checksum: bool) -> None:
        """Open the part. Without an ETag or a checksum, bytes from an earlier fetch are not used."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        etag = read_json(self._state).get("etag")
        self.etag = etag if isinstance(etag, str) else None
        if self.etag is None and not has_checksum:
            self.restart(etag=None)

    def take_up(self) -> bool:
        """Read the next bytes that an earlier fetch left. Call it until it returns False, before anything else."""
        for _ in range(_CHUNKS_AT_ONCE):
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
            if not chunk:
                return False
            self._sha256.update(chunk)
            self.position += len(chunk)
            self.is_joined = True
        return True

    def restart(self, *, etag: str | None) -> None:
        """Discard the bytes that have arrived. `etag` belongs to the new content."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._sha256 = hashlib.sha256()
        self.position = 0
        self.etag = etag
        self.is_joined = False
        write_json(self._state, {"reference": self._reference, "etag": etag})

    def write(self, data: bytes) -> None:
        """Append bytes. Raises OSError and leaves the part unchanged if that fails."""
        view = memoryview(data)
        start = self.position
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, start)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            raise
        self._sha256.update(data)
        self.position += len(data)

    def sha256(self) -> str:
        """Return the checksum of the bytes that have arrived."""
        return self._sha256.hexdigest()

    def sync(self) -> None:
        """Sync the bytes to the disk. Without that, a power failure could keep the rename but lose the content."""
        os.fsync(self._descriptor)

    def forget(self) -> None:
        """Remove the part and its state."""
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, and remove it if it is empty."""
        if self._descriptor < 0:
            return
        is_empty = os.fstat(self._descriptor).st_size == 0
        os.close(self._descriptor)
        self._descriptor = -1
        if is_empty:
            self.forget()
