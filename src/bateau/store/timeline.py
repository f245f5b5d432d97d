"""Keep what has happened to the services in one SQLite file, of bounded size.

Called by wiring.

Invariant: an event that was written survives kill -9 (WAL), and whoever emits one never waits for a disk. Held by
tests/store/test_timeline.py::test_events_survive_a_killed_process and
tests/store/test_timeline.py::test_nobody_waits_for_a_file_that_cannot_be_written.
Invariant: an event that another system has sent twice is kept once. Held by
tests/store/test_timeline.py::test_an_event_of_another_system_is_kept_once.
Refused: the revisions' file. It is never cut, and is written before an effect; this one is cut, and written after.
"""

import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bateau.domain.errors import ControlError
from bateau.domain.event import Event
from bateau.domain.timeline import COMMIT, TRACE, Entry, service_of
from bateau.kit.json_value import object_at
from bateau.store.schema import migrate

logger = logging.getLogger(__name__)

STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE events (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            when_s REAL NOT NULL,
            subject TEXT NOT NULL,
            service TEXT,
            name TEXT,
            reason TEXT NOT NULL,
            says TEXT NOT NULL,
            warning INTEGER NOT NULL,
            commit_id TEXT,
            trace TEXT,
            fields TEXT NOT NULL,
            uid TEXT UNIQUE
        ) STRICT""",
        "CREATE INDEX events_by_name ON events (name) WHERE name IS NOT NULL",
        "CREATE INDEX events_by_commit ON events (commit_id) WHERE commit_id IS NOT NULL",
        "CREATE INDEX events_by_trace ON events (trace) WHERE trace IS NOT NULL",
    ),
)
EVENTS_MAX: Final = 50_000
BYTES_MAX: Final = 64 * 2**20
WAITING_MAX: Final = 20_000  # events that wait for a disk that hangs
_PART_CUT: Final = 10  # a file that is too large loses this part of its events, the oldest
_TEXT_MAX: Final = 2_000  # characters of a sentence
_FIELD_MAX: Final = 500  # characters of a field
_FIELDS_MAX: Final = 32
_BATCH: Final = 500
_BUSY_TIMEOUT_S: Final = 5.0
_CLOSE_S: Final = 2.0
_HINT: Final = "move the file away, or free some space: the control plane begins a new one"
_COLUMNS: Final = "number, when_s, subject, reason, says, warning, fields"
# Events of a service have its key; a commit or a trace that one of them has brings the events that name no service.
_OF_SERVICE: Final = "(name = :name AND (:key IS NULL OR service IN (:key, :name)))"
_RELATED: Final = f"""(service IS NULL AND (
    commit_id IN (SELECT commit_id FROM events WHERE commit_id IS NOT NULL AND {_OF_SERVICE})
    OR trace IN (SELECT trace FROM events WHERE trace IS NOT NULL AND {_OF_SERVICE})))"""  # noqa: S608 - constants
_Row = tuple[int, float, str, str, str, int, str]


class Timeline:
    """A sink of events that keeps them. Satisfies `ports.events.Events`."""

    def __init__(self, path: Path, *, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        """Open the file, and create it if it does not exist. Raises ControlError."""
        self._dropped = self._unwritten = 0
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._connection = _connection(path)
        path.chmod(0o600)
        self._waiting: queue.SimpleQueue[tuple[Event, str | None] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="timeline", daemon=True)
        self._writer.start()

    def emit(self, event: Event, *, uid: str | None = None) -> None:
        """Have an event written. `uid` is that of another system: an event that has a known one is dropped."""
        if self._waiting.qsize() < WAITING_MAX:
            self._waiting.put((event, uid))
        else:
            self._dropped += 1

    @property
    def lost(self) -> int:
        """How many events were not written: too many waited, or the file could not be written."""
        return self._dropped + self._unwritten

    @property
    def waiting(self) -> int:
        """How many events are not written yet, except those that are being written."""
        return self._waiting.qsize()

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._waiting.put(None)
        self._writer.join(_CLOSE_S)

    def _write_all(self) -> None:
        told, ended, dropped = False, False, 0
        while not ended:
            batch = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(batch) < _BATCH:
                    batch.append(self._waiting.get_nowait())
            ended = None in batch
            events = [each for each in batch if each is not None]
            try:
                self._write(events)
                told = False
            except sqlite3.Error as error:
                self._unwritten += len(events)
                if not told:
                    logger.error("the timeline cannot be written: %s", error)
                told = True
            if self._dropped > dropped:
                logger.error("%d events are not in the timeline: too many waited for the disk", self._dropped - dropped)
                dropped = self._dropped
        self._connection.close()

    def _write(self, events: Sequence[tuple[Event, str | None]]) -> None:
        with self._connection as connection:
            connection.executemany(
                "INSERT INTO events"
                " (when_s, subject, service, name, reason, says, warning, commit_id, trace, fields, uid)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(*_row(event), uid and _text(uid, _TEXT_MAX)) for event, uid in events],
            )
            connection.execute(
                "DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?", (self._events_max,)
            )
            while _bytes_used(connection) > self._bytes_max:
                cut = connection.execute(
                    "DELETE FROM events WHERE number <="
                    " (SELECT max(number) - count(*) + max(1, count(*) / ?) FROM events)",
                    (_PART_CUT,),
                )
                if not cut.rowcount:
                    break  # an empty file has pages too


class TimelineReader:
    """Reads the events that a control plane keeps, also while it runs, and while none does."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises ControlError."""
        self._path = path
        self._connection = _connection(path)
        self._version: int | None = None

    def entries(self, *, service: str | None, since: float, after: int = 0, limit: int) -> list[Entry]:
        """Return the newest events since a time in seconds since the epoch, and with larger numbers than `after`.

        The oldest comes first. `service` is a key ("app/shop") or a name ("shop"). The story of a service includes the
        events without a service that have a commit or a trace of one of its own events: pushes, builds, scans.
        """
        query = (
            f"SELECT {_COLUMNS} FROM events WHERE when_s >= :since AND number > :after"  # noqa: S608 - the columns are constants
            f" AND (:name IS NULL OR {_OF_SERVICE} OR {_RELATED}) ORDER BY when_s DESC, number DESC LIMIT :limit"
        )
        key = service if service and "/" in service else None
        name = service.rpartition("/")[2] if service else None
        terms = {"since": since, "after": after, "key": key, "name": name, "limit": limit}
        rows: Sequence[_Row] = self._read(query, terms)
        return [_entry(row) for row in reversed(rows)]

    def latest(self, limit: int) -> list[Entry]:
        """Return the events that were written last, the oldest first. It takes as long for many events as for few."""
        query = f"SELECT {_COLUMNS} FROM events ORDER BY number DESC LIMIT :limit"  # noqa: S608 - the columns are constants
        rows: Sequence[_Row] = self._read(query, {"limit": limit})
        return [_entry(row) for row in sorted(rows, key=lambda row: (row[1], row[0]))]

    def services(self) -> list[str]:
        """Return the keys of all services that any event is about."""
        rows = self._read("SELECT DISTINCT service FROM events WHERE service IS NOT NULL ORDER BY 1", {})
        return [str(row[0]) for row in rows]

    def last_number(self) -> int:
        """Return the number of the latest event, 0 if there is none."""
        return int(self._read("SELECT coalesce(max(number), 0) FROM events", {})[0][0])

    def has_changed(self) -> bool:
        """Whether another process has written since this was asked last."""
        before, self._version = self._version, self._read("PRAGMA data_version", {})[0][0]
        return before != self._version

    def _read(self, query: str, terms: Mapping[str, object]) -> list[Any]:
        try:
            return self._connection.execute(query, dict(terms)).fetchall()
        except sqlite3.Error as error:
            raise ControlError(f"the timeline {self._path} cannot be read: {error}", hint=_HINT) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _connection(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA trusted_schema = OFF")
            migrate(connection, file=str(path), steps=STEPS)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise ControlError(
            f"the timeline {path} cannot be opened: {error}",
            hint=_HINT,
        ) from error
    return connection


def _bytes_used(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _row(event: Event) -> tuple[object, ...]:
    fields = {_text(name, _FIELD_MAX): _text(value, _FIELD_MAX) for name, value in _first(event.fields)}
    service = service_of(event)
    key = None if service is None else _text(service, _FIELD_MAX)
    return (
        event.when_s,
        _text(event.subject, _TEXT_MAX),
        key,
        key and key.rpartition("/")[2],
        _text(event.reason, _FIELD_MAX),
        _text(event.says, _TEXT_MAX),
        int(event.warning),
        fields.get(COMMIT),
        fields.get(TRACE),
        json.dumps(fields, ensure_ascii=False),
    )


def _text(text: str, characters_max: int) -> str:
    """Return a text that SQLite can store: JSON may have half a character."""
    return text[:characters_max].encode("utf-8", "replace").decode()


def _first(fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from list(fields.items())[:_FIELDS_MAX]


def _entry(row: _Row) -> Entry:
    number, when_s, subject, reason, says, warning, text = row
    fields = {name: str(value) for name, value in object_at(json.loads(text)).items()}
    event = Event(when_s=when_s, subject=subject, reason=reason, says=says, warning=bool(warning), fields=fields)
    return Entry(number=number, event=event)
