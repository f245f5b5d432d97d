"""Store every revision of every environment in one SQLite file: its services, time, commit and author.

Called by wiring.history. `apply`, `rollback` and `history` use it through ports.revisions, one call at a time.

Invariant: once `record` or `mark` has returned, the revision survives kill -9 and power loss (WAL, synchronous=FULL). A
reader in another process never waits for the writer. Held by tests/store/test_revisions.py.
Invariant: the same content is stored once, and is checked against its digest on every read. Held by
tests/store/test_revisions.py.
Refused: a row for every manifest; a release is read completely or not at all.
"""

import hashlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.domain.revision import Draft, Event, Outcome, Revision
from bateau.store.schema import migrate

BUSY_TIMEOUT_S: Final = 10.0
_COLUMNS: Final = "id, environment, digest, who, when_s, commit_id, outcome, pins"
_UNPACKED_BYTES_MAX: Final = 2**30
_Row = tuple[int, str, str, str, float, str | None, Outcome, str]  # of _COLUMNS


class RevisionStore:
    """Satisfies `ports.revisions.Revisions`. `bytes_max` limits the size of the file; 0 means no limit."""

    def __init__(self, path: Path, *, bytes_max: int = 0) -> None:
        """Open the file, and create it if it does not exist. Raises ControlError."""
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ControlError(f"cannot create {path.parent}: {error.strerror}", hint=_WRITABLE) from error
        with self._failures("open"):
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._failures("open"):
                self._set_up(bytes_max)
        except BaseException:
            self._connection.close()
            raise

    def _set_up(self, bytes_max: int) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA trusted_schema = OFF")
        if bytes_max:
            page = self._connection.execute("PRAGMA page_size").fetchone()[0]
            self._connection.execute(f"PRAGMA max_page_count = {max(bytes_max // page, 1)}")
        migrate(self._connection, file=str(self._path))
        self._path.chmod(0o600)  # it may contain environment variables of services

    def record(self, draft: Draft) -> Revision:
        """Store a new revision, and return it with its id. Raises ControlError."""
        packed = _packed(draft.content)
        digest = content_digest(draft.content)
        with self._writing("record a revision") as connection:
            connection.execute(
                "INSERT INTO contents (digest, packed) VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, packed)
            )
            pins = json.dumps(dict(draft.pins), sort_keys=True)
            row = (draft.environment, digest, draft.who, draft.when_s, draft.commit, draft.outcome, pins)
            made = connection.execute(
                "INSERT INTO revisions (environment, digest, who, when_s, commit_id, outcome, pins)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            revision_id = int(made.lastrowid or 0)
            connection.executemany(
                "INSERT INTO services (revision, key, digest) VALUES (?, ?, ?)",
                [(revision_id, key, value) for key, value in sorted(draft.services.items())],
            )
            event = Event(when_s=draft.when_s, says=draft.says or f"recorded by {draft.who}", outcome=draft.outcome)
            _add_event(connection, revision_id, event)
        return Revision(
            id=revision_id,
            environment=draft.environment,
            digest=digest,
            services=dict(sorted(draft.services.items())),
            who=draft.who,
            when_s=draft.when_s,
            commit=draft.commit,
            outcome=draft.outcome,
            pins=dict(draft.pins),
            events=(event,),
        )

    def mark(self, revision_id: int, *, when_s: float, says: str, outcome: Outcome | None = None) -> None:
        """Add an event to a revision, and set its outcome if `outcome` is given. Raises ControlError."""
        with self._writing("mark a revision") as connection:
            if connection.execute("SELECT 1 FROM revisions WHERE id = ?", (revision_id,)).fetchone() is None:
                raise ControlError(f"there is no revision {revision_id}", hint="`bateau history` lists them")
            if outcome is not None:
                connection.execute("UPDATE revisions SET outcome = ? WHERE id = ?", (outcome, revision_id))
            _add_event(connection, revision_id, Event(when_s=when_s, says=says, outcome=outcome))

    def last_healthy(
        self, environment: str, *, service: str | None = None, before: int | None = None
    ) -> Revision | None:
        """Return the newest healthy revision: of those with `service`, and older than `before`.

        With both, only revisions whose `service` differs from the one in `before` count: the target of a rollback.
        """
        query = (
            f"SELECT {_COLUMNS} FROM revisions r WHERE environment = :environment AND outcome = 'healthy'"  # noqa: S608 - the columns are constants
            " AND (:before IS NULL OR id < :before)"
            " AND (:service IS NULL OR EXISTS (SELECT 1 FROM services s WHERE s.revision = r.id AND s.key = :service"
            " AND s.digest IS NOT (SELECT digest FROM services WHERE revision = :before AND key = :service)))"
            " ORDER BY id DESC LIMIT 1"
        )
        found = self._select(query, {"environment": environment, "service": service, "before": before})
        return found[0] if found else None

    def history(
        self, environment: str | None = None, *, service: str | None = None, limit: int = 50
    ) -> Sequence[Revision]:
        """Return revisions, newest first, with their events. Raises ControlError."""
        query = (
            f"SELECT {_COLUMNS} FROM revisions r WHERE (:environment IS NULL OR environment = :environment)"  # noqa: S608 - the columns are constants
            " AND (:service IS NULL OR EXISTS (SELECT 1 FROM services s WHERE s.revision = r.id AND s.key = :service))"
            " ORDER BY id DESC LIMIT :limit"
        )
        return self._select(query, {"environment": environment, "service": service, "limit": limit})

    def newest_of(self, environment: str) -> Mapping[str, int]:
        """Return every service of an environment, with the newest revision that has it. Raises ControlError.

        The query visits each key once, whatever the number of revisions: it seeks in the index of the keys.
        """
        query = (
            "WITH RECURSIVE keys (key) AS (SELECT min(key) FROM services UNION ALL"
            " SELECT (SELECT min(key) FROM services s WHERE s.key > keys.key) FROM keys WHERE key IS NOT NULL)"
            " SELECT key, (SELECT revision FROM services s JOIN revisions r ON r.id = s.revision"
            " WHERE s.key = keys.key AND r.environment = ? ORDER BY s.revision DESC LIMIT 1)"
            " FROM keys WHERE key IS NOT NULL"
        )
        with self._lock, self._failures("read revisions"):
            rows = self._connection.execute(query, (environment,)).fetchall()
        return {key: newest for key, newest in rows if newest is not None}

    def get(self, revision_id: int) -> Revision | None:
        """Return one revision with its events, or None if it does not exist. Raises ControlError."""
        found = self._select(f"SELECT {_COLUMNS} FROM revisions WHERE id = :id", {"id": revision_id})  # noqa: S608 - constants
        return found[0] if found else None

    def content(self, revision_id: int) -> Mapping[str, str]:
        """Return the recorded texts. Raises ControlError if the revision does not exist or is damaged."""
        query = "SELECT digest, packed FROM revisions JOIN contents USING (digest) WHERE id = ?"
        with self._lock, self._failures("read a revision"):
            row = self._connection.execute(query, (revision_id,)).fetchone()
        if row is None:
            raise ControlError(f"there is no revision {revision_id}", hint="`bateau history` lists them")
        try:
            texts: dict[str, str] = json.loads(zlib.decompressobj().decompress(row[1], _UNPACKED_BYTES_MAX))
        except (zlib.error, ValueError):
            texts = {}
        if content_digest(texts) != row[0]:
            raise ControlError(
                f"revision {revision_id} in {self._path} is damaged", hint="roll back to another revision"
            )
        return texts

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _select(self, query: str, names: Mapping[str, str | int | None]) -> list[Revision]:
        with self._lock, self._failures("read revisions"):
            self._connection.execute("BEGIN")  # one snapshot: a mark in between would not match its event
            try:
                return [self._revision(row) for row in self._connection.execute(query, names).fetchall()]
            finally:
                self._connection.execute("COMMIT")

    def _revision(self, row: _Row) -> Revision:
        revision_id, environment, digest, who, when_s, commit, outcome, pins = row
        events = self._connection.execute(
            "SELECT when_s, says, outcome FROM events WHERE revision = ? ORDER BY id", (revision_id,)
        )
        services = self._connection.execute(
            "SELECT key, digest FROM services WHERE revision = ? ORDER BY key", (revision_id,)
        )
        return Revision(
            id=revision_id,
            environment=environment,
            digest=digest,
            services=dict(services.fetchall()),
            who=who,
            when_s=when_s,
            commit=commit,
            outcome=outcome,
            pins=json.loads(pins),
            events=tuple(Event(when_s=at, says=says, outcome=became) for at, says, became in events),
        )

    @contextmanager
    def _writing(self, doing: str) -> Generator[sqlite3.Connection]:
        """Run the block in one transaction."""
        with self._lock, self._failures(doing):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _failures(self, doing: str) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            says, hint = _meaning(error)
            raise ControlError(f"cannot {doing}: {self._path} {says}", hint=hint) from error
        except OSError as error:
            raise ControlError(f"cannot {doing}: {self._path}: {error.strerror}", hint=_WRITABLE) from error


_WRITABLE: Final = "set XDG_STATE_HOME to a writable directory"
_MEANINGS: Final[Mapping[int, tuple[str, str]]] = {
    sqlite3.SQLITE_FULL: ("has no space left", "free some space; nothing was half written"),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: the disk fails or is full",
        "free some space, or check the disk",
    ),
    sqlite3.SQLITE_READONLY: ("is read-only", _WRITABLE),
    sqlite3.SQLITE_PERM: ("is not permitted", _WRITABLE),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _WRITABLE),
    sqlite3.SQLITE_BUSY: ("is locked by another process", "end the other command, then try again"),
    sqlite3.SQLITE_NOTADB: ("is not a database", "move the file away; its content cannot be read"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "move the file away, or restore it from a backup"),
}


def _meaning(error: sqlite3.Error) -> tuple[str, str | None]:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind, the others are details
    return _MEANINGS.get(code, (f"fails: {error}", None))


def content_digest(content: Mapping[str, str]) -> str:
    """Return the sha256 of texts, regardless of their order.

    >>> content_digest({"a": "1", "b": "2"}) == content_digest({"b": "2", "a": "1"})
    True
    """
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: Mapping[str, str]) -> bytes:
    return json.dumps(dict(content), sort_keys=True, separators=(",", ":")).encode()


def _packed(content: Mapping[str, str]) -> bytes:
    return zlib.compress(_canonical(content), 6)


def _add_event(connection: sqlite3.Connection, revision_id: int, event: Event) -> None:
    connection.execute(
        "INSERT INTO events (revision, when_s, says, outcome) VALUES (?, ?, ?, ?)",
        (revision_id, event.when_s, event.says, event.outcome),
    )
