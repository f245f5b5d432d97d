"""Compare what was remembered with what runs: which replicas go on, which have died, which processes are strays.

Called once by the runtime, before the first look at its replicas.

Invariant: a process is adopted only when its boot, its start in clock ticks and its marks all agree with the record.
Sends no signal and changes nothing but the names of damaged files.
Refused: trusting pid files; a number that was handed out again would make us watch, and kill, a stranger.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bateau.runtimes.local.process import MARK_INSTANCE, MARK_REPLICA, Process, boot_id, marked, marks_of, stat_of
from bateau.runtimes.local.records import DamagedRecordError, Record, Records

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A remembered replica, and its process where that still runs; else `why` says how it ended."""

    record: Record
    process: Process | None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """All that an earlier control plane has left. `strays` are ids of replicas whose processes nobody remembers."""

    replicas: Sequence[Found]
    strays: Sequence[str]


def look(records: Records, instance: str) -> Findings:
    """Read the records and the process table."""
    replicas: list[Found] = []
    for path in records.paths():
        try:
            record = records.read(path)
        except DamagedRecordError as error:
            aside = records.set_aside(path)
            log.warning("A record is damaged (%s) and was set aside as %s; its replica starts anew", error, aside)
            continue
        replicas.append(_identify(record, instance))
    running = {found.record.id for found in replicas if found.process is not None}
    strays = {replica_id for _, replica_id in marked(instance) if replica_id not in running}
    return Findings(replicas, sorted(strays))


def _identify(record: Record, instance: str) -> Found:
    known = record.process
    if known is None:
        return Found(record, None, "had not been started")
    if known.boot_id != boot_id():
        return Found(record, None, "the machine was started anew")
    process = Process.open(known.pid, start_ticks=known.start_ticks)
    if process is None:
        return Found(record, None, "exited while no control plane ran")
    marks = marks_of(known.pid)
    stat = stat_of(known.pid)
    if stat is None or stat.ended:
        process.close(reap=True)
        return Found(record, None, "exited while no control plane ran")
    if marks is None:
        # The program has overwritten its environment to set its title. No stranger leads a session of this number
        # since this very tick of this boot.
        ours = stat.session == known.pid
    else:
        ours = marks.get(MARK_INSTANCE) == instance and marks.get(MARK_REPLICA) == record.id
    if not ours:
        process.close(reap=False)
        return Found(record, None, "exited while no control plane ran")
    return Found(record, process)
