"""Cache results by a digest of their inputs, in one SQLite file that can be deleted at any time.

Called by wiring.packing. control.packing uses it through ports.memo.

Invariant: it never fails. A damaged, locked or full file counts as an empty one, and results are computed again. A file
that has grown to `BYTES_MAX` is replaced by an empty one. Held by tests/store/test_memo.py.
Invariant: `get` returns the bytes that were put. SQLite does not notice a flipped bit in a value, so each value has a
checksum. Held by tests/store/test_memo.py.
Invariant: one process writes at a time; two processes that write the same key write the same bytes. Held by
tests/store/test_memo.py.
"""

import contextlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

BYTES_MAX: Final = 512 * 2**20
_BUSY_S: Final = 0.5
_AT_ONCE: Final = 500  # SQLite's own bound on parameters is 32,766; this keeps the statement small
_FORM: Final = 2
_CHECKSUM_BYTES: Final = 4


class MemoFile:
    """Satisfies `ports.memo.Memo`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = self._opened()

    def get(self, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """Return the stored values of `keys`; none if the file cannot be read, or the value is damaged."""
        found: dict[bytes, bytes] = {}
        if self._connection is None:
            return found
        with contextlib.suppress(sqlite3.Error):
            for some in _portions(keys):
                marks = ",".join("?" * len(some))
                query = f"SELECT key, value FROM entries WHERE key IN ({marks})"  # noqa: S608 - only question marks are inserted
                for key, value in self._connection.execute(query, some):
                    content = value[_CHECKSUM_BYTES:]
                    if value[:_CHECKSUM_BYTES] == _checksum(key, content):
                        found[key] = content
        return found

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Store `entries`, and start with an empty file if it has grown too large."""
        if self._connection is None or not entries:
            return
        with contextlib.suppress(sqlite3.Error), self._connection:
            rows = ((key, _checksum(key, content) + content) for key, content in entries.items())
            self._connection.executemany("INSERT OR REPLACE INTO entries (key, value) VALUES (?, ?)", rows)
        if self._size() > BYTES_MAX:
            self.close()
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._connection = self._opened()

    def _size(self) -> int:
        """Return the size of the file in bytes, including those still in its log."""
        if self._connection is None:
            return 0
        try:
            pages, size = (
                self._connection.execute(f"PRAGMA {each}").fetchone()[0] for each in ("page_count", "page_size")
            )
        except sqlite3.Error:
            return 0
        return int(pages) * int(size)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection | None:
        """Return the open file, recreated if it is damaged or of another version; None if that fails."""
        for _ in range(2):
            with contextlib.suppress(OSError, sqlite3.OperationalError):  # locked, read-only: work without it
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                try:
                    if connection := _connected(self._path):
                        return connection
                except sqlite3.OperationalError:
                    raise
                except sqlite3.DatabaseError:
                    pass  # not a database
                self._path.unlink(missing_ok=True)
        return None


def _connected(path: Path) -> sqlite3.Connection | None:
    """Return the file as a database, or None if it is of another version. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=_BUSY_S)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")  # results lost in a power cut are computed again
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.execute("CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT")
        connection.execute(f"PRAGMA user_version = {_FORM}")
    elif version != _FORM:
        connection.close()
        return None
    path.chmod(0o600)
    return connection


def _checksum(key: bytes, content: bytes) -> bytes:
    return zlib.crc32(content, zlib.crc32(key)).to_bytes(_CHECKSUM_BYTES, "little")


def _portions(keys: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    rest = iter(keys)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
