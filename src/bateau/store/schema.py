"""Define the tables of the revisions' database, and migrate older files.

Called by store.revisions and store.timeline.

Invariant: a released step is never edited; a change is a new step at the end; all steps run in one transaction. Held by
tests/store/test_revisions.py::test_an_older_file_is_brought_up_to_date_in_one_go.
"""

import sqlite3
from typing import Final

from bateau.domain.errors import ControlError

STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE contents (digest TEXT PRIMARY KEY, packed BLOB NOT NULL) STRICT",
        """CREATE TABLE revisions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            environment TEXT NOT NULL,
            digest TEXT NOT NULL REFERENCES contents (digest),
            who TEXT NOT NULL,
            when_s REAL NOT NULL,
            commit_id TEXT,
            outcome TEXT NOT NULL CHECK (outcome IN ('planned', 'applied', 'healthy', 'failed', 'rolled back'))
        ) STRICT""",
        "CREATE INDEX revisions_by_environment ON revisions (environment, id)",
        """CREATE TABLE services (
            revision INTEGER NOT NULL REFERENCES revisions (id) ON DELETE CASCADE,
            key TEXT NOT NULL,
            digest TEXT NOT NULL,
            PRIMARY KEY (revision, key)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX services_by_key ON services (key, revision)",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            revision INTEGER NOT NULL REFERENCES revisions (id) ON DELETE CASCADE,
            when_s REAL NOT NULL,
            says TEXT NOT NULL,
            outcome TEXT
        ) STRICT""",
        "CREATE INDEX events_by_revision ON events (revision, id)",
    ),
    # Services that a rollback holds at an earlier revision: {"model/chat": 4}.
    ("ALTER TABLE revisions ADD COLUMN pins TEXT NOT NULL DEFAULT '{}'",),
)


def migrate(connection: sqlite3.Connection, *, file: str, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Migrate the database to the newest version. Raises ControlError if a newer Bateau made it, and sqlite3.Error."""
    if _version(connection) == len(steps):
        return  # a reader needs no lock
    connection.execute("BEGIN IMMEDIATE")  # so that two processes can open a new file
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY) STRICT")
        version = _version(connection)
        _refuse_newer(version, len(steps), file)
        for number, statements in enumerate(steps[version:], start=version + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute("INSERT INTO migrations (version) VALUES (?)", (number,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _refuse_newer(version: int, known: int, file: str) -> None:
    if version > known:
        raise ControlError(
            f"{file} has version {version} and was created by a newer Bateau; this one reads up to version {known}",
            hint="install the newer version",
        )


def _version(connection: sqlite3.Connection) -> int:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone()
    if known is None:
        return 0
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0])
