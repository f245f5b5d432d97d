"""Store a record of each replica as a JSON file, with enough data to adopt the replica or to start it again.

Called by runtimes.local.

Invariant: a file is complete or absent: it is written to a temporary name, synced, and renamed. Only its owner can read
it (0600), and it holds no value that comes from `env()`, only the keys of the withheld values. Held by
tests/runtimes/test_records.py and tests/runtimes/test_withheld_values.py.
Invariant: what a killed control plane has written half is removed by the next one. Held by
tests/runtimes/test_adoption.py::test_a_record_that_was_being_written_is_removed.
Refused: one database for all replicas; a damaged file must affect only one replica, and `cat` should show its content.
"""

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.workload import Resources
from bateau.kit.json_value import ReadObject
from bateau.runtimes.local.program_files import FileMark

log = logging.getLogger(__name__)

_UNFINISHED: Final = ".new"
VERSION = 3
VERSIONS_READ = (1, 2, 3)  # version 1 had no drain timeout and no metrics, version 2 no runner and no files


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The identity of a process. A pid alone is not enough, because the kernel may reuse it."""

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of a replica. `quick_failures` counts ends in a row without a long healthy time between them.

    `files` are those that its process was started from; None if that is unknown.
    """

    id: str
    service: str
    template: ProcessTemplate
    process: Identity | None = None
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    restarts: int = 0
    quick_failures: int = 1
    since: float = 0.0
    ready: bool = False
    stopping: bool = False
    ended: str | None = None  # how a task that is not restarted has ended
    cgroup: str | None = None
    files: tuple[FileMark, ...] | None = None


class DamagedRecordError(Exception):
    """A file that is not a valid record: it is truncated, unreadable, or was not written by Bateau."""


class Records:
    """The folder of records. An OSError, such as a full or read-only disk, becomes a ReplicaError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unwritten: dict[str, Record] = {}
        self.troubles: dict[str, str] = {}  # why a record is not on the disk yet, by replica id

    def paths(self) -> list[Path]:
        """Return the files of all records, sorted by name."""
        return sorted(self._folder.glob("*.json"))

    def read(self, path: Path) -> Record:
        """Return the record in a file. Raises DamagedRecordError with a reason of one line."""
        try:
            record = _from_tree(json.loads(path.read_bytes()))
        except OSError as error:
            raise DamagedRecordError(error.strerror or str(error)) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedRecordError("it is not a complete record") from error
        if f"{record.id}.json" != path.name:
            raise DamagedRecordError(f"it describes replica {record.id}")
        return record

    def remove_unfinished(self) -> None:
        """Remove files that were being written when a control plane was killed."""
        for path in self._folder.glob(f"*{_UNFINISHED}"):
            with contextlib.suppress(OSError):
                path.unlink()

    def set_aside(self, path: Path) -> Path:
        """Rename a damaged file, so that it is kept for inspection but no longer read."""
        aside = path.with_suffix(".damaged")
        with contextlib.suppress(OSError):
            path.replace(aside)
        return aside

    def write(self, record: Record) -> None:
        """Write a record to the disk and sync it before returning. Raises ReplicaError."""
        path = self._path(record.id)
        aside = path.with_suffix(_UNFINISHED)
        text = json.dumps(_to_tree(record), indent=1)
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, for its mode
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            self._sync_folder()
            self._forget_unwritten(record.id)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise ReplicaError(
                f"the record of replica {record.id} cannot be written to {path}: {error.strerror}",
                hint="free some space there, or make the folder writable",
            ) from error

    def write_or_retry(self, record: Record) -> None:
        """Store a record. A failure must not stop its replica: it is in `troubles`, and `retry` tries again."""
        try:
            self.write(record)
        except ReplicaError as error:
            if self.troubles.get(record.id) != error.message:
                log.warning("%s; that is retried", error.message)
            self._unwritten[record.id], self.troubles[record.id] = record, error.message

    def retry(self) -> bool:
        """Store the records that could not be written; return whether any was."""
        before = list(self._unwritten.values())
        for record in before:
            self.write_or_retry(record)
        return len(self._unwritten) < len(before)

    def _forget_unwritten(self, replica_id: str) -> None:
        self._unwritten.pop(replica_id, None)
        self.troubles.pop(replica_id, None)

    def remove(self, replica_id: str) -> None:
        """Remove the record of a replica. Raises ReplicaError."""
        self._forget_unwritten(replica_id)
        path = self._path(replica_id)
        try:
            path.unlink(missing_ok=True)
            self._sync_folder()
        except OSError as error:
            raise ReplicaError(
                f"the record {path} cannot be removed: {error.strerror}", hint="make the folder writable"
            ) from error

    def _path(self, replica_id: str) -> Path:
        return self._folder / f"{replica_id}.json"

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _to_tree(record: Record) -> ReadObject:
    template = record.template
    return {
        "version": VERSION,
        "id": record.id,
        "service": record.service,
        "process": None if record.process is None else asdict(record.process),
        "ports": dict(record.ports),
        "restarts": record.restarts,
        "quick_failures": record.quick_failures,
        "since": record.since,
        "ready": record.ready,
        "stopping": record.stopping,
        "ended": record.ended,
        "cgroup": record.cgroup,
        "files": None if record.files is None else [asdict(mark) for mark in record.files],
        "template": {
            "revision": template.revision,
            "command": list(template.command),
            "environment": dict(template.environment),
            "working_directory": template.working_directory,
            "port_names": list(template.port_names),
            "uses_socket": template.uses_socket,
            "probe": None if template.probe is None else asdict(template.probe),
            "metrics": None if template.metrics is None else asdict(template.metrics),
            "resources": asdict(template.resources),
            "stop_timeout_s": template.stop_timeout_s,
            "drain_timeout_s": template.drain_timeout_s,
            "stop_signal": template.stop_signal,
            "restart": template.restart,
            "runner": template.runner,
            "withheld": sorted(template.withheld),
        },
    }


def _from_tree(tree: Any) -> Record:
    rest = dict(tree)
    if rest.pop("version") not in VERSIONS_READ:
        raise ValueError("another version")
    process, files = rest.pop("process"), rest.pop("files", None)
    return Record(
        process=None if process is None else Identity(**process),
        template=_template_from_tree(rest.pop("template")),
        files=None if files is None else tuple(FileMark(**mark) for mark in files),
        ports={str(name): int(port) for name, port in rest.pop("ports").items()},
        **rest,
    )


def _template_from_tree(tree: Any) -> ProcessTemplate:
    rest = dict(tree)
    probe = rest.pop("probe")
    if probe is not None:
        times = dict(probe)
        probe = ProbePlan(target=ProbeTarget(**times.pop("target")), **times)
    metrics = rest.pop("metrics", None)
    return ProcessTemplate(
        metrics=None if metrics is None else ProbeTarget(**metrics),
        command=tuple(rest.pop("command")),
        environment=dict(rest.pop("environment")),
        port_names=tuple(rest.pop("port_names")),
        resources=Resources(**rest.pop("resources")),
        probe=probe,
        withheld=dict.fromkeys(rest.pop("withheld", ())),
        **rest,
    )
