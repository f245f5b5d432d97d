"""Turn the differences between two snapshots into events, and hand them to the sinks.

Called by control.history, control.loop and wiring. It runs whenever a snapshot differs from the one before.

Invariant: the same two snapshots give the same events, in the order of services and replicas. A sink that fails keeps
no other sink from its events, and a bug in the events of a service keeps back those of no other. Held by
tests/observe/test_events.py and tests/control/test_snapshots.py.
"""

import logging
import re
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from bateau.domain.event import Event
from bateau.domain.problem import Severity
from bateau.domain.replica import End, Replica, ReplicaState
from bateau.domain.status import ServiceState, ServiceStatus, Status
from bateau.ports.events import Events

logger = logging.getLogger(__name__)

_OUT_OF_MEMORY: Final = "out of memory"
_BAD_STATES = (ServiceState.FAILED, ServiceState.DEGRADED)
_BAD_REPLICA_STATES = (ReplicaState.BACKOFF, ReplicaState.UNREADY, ReplicaState.FAILED)
# Of this machine and of clusters.
_SIGNAL: Final = re.compile(r"(?:killed|ended) by signal (\d{1,3})\b")
_CODE: Final = re.compile(r"(?:exited with|ended with exit) code (\d+)")


def report(sinks: Sequence[Events], before: Status | None, after: Status, *, when_s: float) -> None:
    """Hand every sink the events between two snapshots."""
    tell(sinks, happenings(before, after, when_s=when_s))


def tell(sinks: Sequence[Events], events: Iterable[Event]) -> None:
    """Hand every sink some events."""
    for event in events:
        for sink in sinks:
            try:
                sink.emit(event)
            except Exception:
                logger.exception("%s has dropped the event %s of %s", type(sink).__name__, event.reason, event.subject)


def happenings(before: Status | None, after: Status, *, when_s: float) -> Iterator[Event]:
    """Yield the events between `before` and `after`. `before` is None for the first snapshot of a control plane."""
    if before is None or before.written != after.written:
        yield from _desired(after, when_s)
    known = _services(before)
    for service in (*after.services, after.gateway):
        try:
            found = tuple(_service(known.get(service.service), service, when_s))
        except Exception:
            logger.exception("the events of %s are lost, because of a bug", service.service)
            continue
        yield from found
    now = _services(after)
    for key in sorted(known.keys() - now.keys()):
        yield Event(when_s=when_s, subject=key, reason="Removed", says=f"{key} was removed")


def _desired(after: Status, when_s: float) -> Iterator[Event]:
    errors = sum(problem.severity is Severity.ERROR for problem in after.problems)
    if after.written is None:
        return
    fields = {"written": after.written, **({"environment": after.environment} if after.environment else {})}
    if after.specs_rejected:
        says = f"the specs have {errors} error{'' if errors == 1 else 's'}: running services were not changed"
        yield Event(when_s=when_s, subject="desired", reason="SpecsRejected", says=says, warning=True, fields=fields)
    elif after.accepted:
        yield Event(
            when_s=when_s, subject="desired", reason="SpecsAccepted", says="the specs were applied", fields=fields
        )


def _service(before: ServiceStatus | None, after: ServiceStatus, when_s: float) -> Iterator[Event]:
    if before is None or before.state is not after.state:
        yield Event(
            when_s=when_s,
            subject=after.service,
            reason=str(after.state),
            says=after.reason or "",
            warning=after.state in _BAD_STATES,
        )
    if before is not None and before.replicas_wanted != after.replicas_wanted:
        says = f"from {before.replicas_wanted} to {after.replicas_wanted} replicas"
        yield Event(when_s=when_s, subject=after.service, reason="Scaled", says=says)
    known = {replica.id: replica for replica in before.replicas} if before else {}
    for replica in after.replicas:
        yield from _replica(known.pop(replica.id, None), replica, when_s)
    for replica_id in sorted(known):
        fields = {"service": after.service}
        yield Event(when_s=when_s, subject=replica_id, reason="Stopped", says="it has ended", fields=fields)


def _replica(before: Replica | None, after: Replica, when_s: float) -> Iterator[Event]:
    fields = {"service": after.service, "template": after.revision, **({"pid": str(after.pid)} if after.pid else {})}
    end = after.last_end
    if before is not None and end is not None and end != before.last_end and _OUT_OF_MEMORY in end.says:
        yield end_event(after, end)
    if before is None and after.adopted:
        yield Event(when_s=when_s, subject=after.id, reason="Adopted", says="it was running already", fields=fields)
    if before is not None and after.restarts > before.restarts:
        says = end.says if end else before.reason or ""
        cause = {**fields, **cause_of(says)}
        yield Event(when_s=when_s, subject=after.id, reason="Restarted", says=says, fields=cause)
    if after.draining and not (before and before.draining):
        yield Event(when_s=when_s, subject=after.id, reason="Draining", says="it gets no new requests", fields=fields)
    if before is None or before.state is not after.state:
        bad = after.state in _BAD_REPLICA_STATES
        yield Event(
            when_s=when_s,
            subject=after.id,
            reason=str(after.state),
            says=after.reason or "",
            warning=bad,
            fields={**fields, **cause_of(after.reason or "")},
        )


def end_event(replica: Replica, end: End) -> Event:
    """Return the event of the end of a replica's process, which has a reason of its own if memory ran out."""
    reason = "OutOfMemory" if _OUT_OF_MEMORY in end.says else "Ended"
    fields = {"service": replica.service, **cause_of(end.says)}
    return Event(when_s=end.when_s, subject=replica.id, reason=reason, says=end.says, warning=True, fields=fields)


def cause_of(says: str) -> Mapping[str, str]:
    """Return the fields for programs of a sentence about the end of a process.

    >>> cause_of("killed by signal 9 (SIGKILL): out of memory"), cause_of("exited with code 3")
    ({'signal': 'SIGKILL'}, {'exitCode': '3'})
    """
    if found := _SIGNAL.search(says):
        return {"signal": _signal_name(int(found[1]))}
    return {"exitCode": found[1]} if (found := _CODE.search(says)) else {}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


def _services(status: Status | None) -> Mapping[str, ServiceStatus]:
    return {service.service: service for service in (*status.services, status.gateway)} if status else {}
