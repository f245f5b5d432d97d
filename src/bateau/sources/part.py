"""A file on its way: what has arrived, its running checksum, and what is needed to go on after a cut.

Called by sources.download.

Invariant: what is on disk and the running checksum always agree; a part that cannot be gone on with is emptied. Held by
tests/sources/test_download.py.
"""

import hashlib
import os
from pathlib import Path

from bateau.sources.cache import read_json, write_json
from bateau.sources.http import shown

_CHUNK_BYTES = 1 << 20
_CHUNKS_AT_ONCE = 64


class Part:
    """The part at `KEY.part`, and `KEY.json` beside it. Used by one thread at a time, under a lock."""

    def __init__(self, path: Path, *, reference: str) -> None:
        self.path = path
        self._state = path.with_suffix(".json")
        self._reference = shown(reference)
        self._sha256 = hashlib.sha256()
        self._descriptor = -1
        self.position = 0
        self.etag: str | None = None
        self.is_joined = False  # of pieces from more than one answer

    def open(self, *, has_checksum: bool) -> None:
        """Open the part; without ETag or checksum, what an earlier fetch left in it cannot be used."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        etag = read_json(self._state).get("etag")
        self.etag = etag if isinstance(etag, str) else None
        if self.etag is None and not has_checksum:
            self.restart(etag=None)

    def take_up(self) -> bool:
        """Read on in what an earlier fetch left; call until it returns False, before anything else."""
        for _ in range(_CHUNKS_AT_ONCE):
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
            if not chunk:
                return False
            self._sha256.update(chunk)
            self.position += len(chunk)
            self.is_joined = True
        return True

    def restart(self, *, etag: str | None) -> None:
        """Throw away what has arrived; `etag` is of what comes now."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._sha256 = hashlib.sha256()
        self.position = 0
        self.etag = etag
        self.is_joined = False
        write_json(self._state, {"reference": self._reference, "etag": etag})

    def write(self, data: bytes) -> None:
        """Add what has arrived. Raises OSError, with the part as it was."""
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
        """Return the checksum of what has arrived."""
        return self._sha256.hexdigest()

    def sync(self) -> None:
        """Have the disk hold what has arrived: a rename may outlive a power cut that its content does not."""
        os.fsync(self._descriptor)

    def forget(self) -> None:
        """Remove the part and what is beside it."""
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; a part without content is removed."""
        if self._descriptor < 0:
            return
        is_empty = os.fstat(self._descriptor).st_size == 0
        os.close(self._descriptor)
        self._descriptor = -1
        if is_empty:
            self.forget()
