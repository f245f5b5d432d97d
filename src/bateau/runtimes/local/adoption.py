"""Compare the records with the running replicas: which continue, which have ended, and which have no record.

Called by runtimes.local.keeper. It runs once, before the first `observe`.

Invariant: a failure to find one replica, expected or a bug, leaves the others as they are. Held by
tests/runtimes/test_runner.py.
Invariant: sends no signal, and changes nothing but the names of damaged files. Held by tests/runtimes/test_adoption.py.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bateau.domain.errors import ReplicaError, bug
from bateau.runtimes.local.records import DamagedRecordError, Record, Records
from bateau.runtimes.local.runner import Ended, Runner, Running, Unknown

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A replica with a record, and its state."""

    record: Record
    state: Running | Ended | Unknown


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that an earlier control plane has left. `strays` has runner and replica id of replicas without one."""

    replicas: Sequence[Found]
    strays: Sequence[tuple[str, str]]


def look(records: Records, runners: Mapping[str, Runner]) -> Findings:
    """Read the records, and ask the runners for the running replicas."""
    replicas: list[Found] = []
    for path in records.paths():
        try:
            record = records.read(path)
            runner = runners.get(record.template.runner)
            if runner is None:
                raise DamagedRecordError(f"this version has no runner {record.template.runner!r}")  # noqa: TRY301
        except DamagedRecordError as error:
            aside = records.set_aside(path)
            log.warning("A record is damaged (%s) and was renamed to %s; its replica is started again", error, aside)
            continue
        replicas.append(Found(record, state_of(runner, record)))
    known = {found.record.id for found in replicas if not isinstance(found.state, Ended)}
    strays = [(name, each) for name, runner in runners.items() for each in _running_ids(runner) if each not in known]
    return Findings(replicas, strays)


def state_of(runner: Runner, record: Record) -> Running | Ended | Unknown:
    """Return the state of a replica with a record. A failure, expected or a bug, concerns this replica only."""
    try:
        return runner.find(record)
    except ReplicaError as error:
        return Unknown(f"{error.message} ({error.hint})" if error.hint else error.message)
    except Exception as error:
        log.exception("it is not known whether replica %s runs", record.id)
        return Unknown(f"{bug(error)}; the log has the details")


def _running_ids(runner: Runner) -> Sequence[str]:
    """Return the ids of running replicas; after a bug none, because only those without a record would be ended."""
    try:
        return sorted(runner.running_ids())
    except Exception:
        log.exception("processes without a record are not ended, because they are not known")
        return ()
