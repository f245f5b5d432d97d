"""Compare the records with the running replicas: which continue, which have ended, and which have no record.

Called by runtimes.local.keeper. It runs once, before the first `observe`.

Invariant: sends no signal, and changes nothing but the names of damaged files. Held by tests/runtimes/test_adoption.py.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bateau.runtimes.local.records import DamagedRecordError, Record, Records
from bateau.runtimes.local.runner import Ended, Runner, Running

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A replica with a record, and its state."""

    record: Record
    state: Running | Ended


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
        replicas.append(Found(record, runner.find(record)))
    known = {found.record.id for found in replicas if not isinstance(found.state, Ended)}
    strays = [
        (name, each) for name, runner in runners.items() for each in sorted(runner.running_ids()) if each not in known
    ]
    return Findings(replicas, strays)
