"""Turn the differences between two snapshots into events, and hand them to the sinks.

Called by control.loop. It runs whenever a snapshot differs from the one before.

Invariant: the same two snapshots give the same events, in the order of services and replicas. A sink that fails keeps
no other sink from its events. Held by tests/observe/test_events.py and tests/control/test_snapshots.py.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

from bateau.domain.event import Event
from bateau.domain.problem import Severity
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.status import ServiceState, ServiceStatus, Status
from bateau.ports.events import Events

logger = logging.getLogger(__name__)

_BAD_STATES = (ServiceState.FAILED, ServiceState.DEGRADED)


def report(sinks: Sequence[Events], before: Status | None, after: Status, *, when_s: float) -> None:
    """Hand every sink the events between two snapshots."""
    for event in happenings(before, after, when_s=when_s):
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
        yield from _service(known.get(service.service), service, when_s)
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
    known = {replica.id: replica for replica in before.replicas} if before else {}
    for replica in after.replicas:
        yield from _replica(known.pop(replica.id, None), replica, when_s)
    for replica_id in sorted(known):
        yield Event(when_s=when_s, subject=replica_id, reason="Stopped", says=f"{replica_id} has stopped")


def _replica(before: Replica | None, after: Replica, when_s: float) -> Iterator[Event]:
    fields = {"service": after.service, "revision": after.revision, **({"pid": str(after.pid)} if after.pid else {})}
    if before is None and after.adopted:
        yield Event(when_s=when_s, subject=after.id, reason="Adopted", says="it was running already", fields=fields)
    if before is not None and after.restarts > before.restarts:
        yield Event(when_s=when_s, subject=after.id, reason="Restarted", says=before.reason or "", fields=fields)
    if after.draining and not (before and before.draining):
        yield Event(when_s=when_s, subject=after.id, reason="Draining", says="it gets no new requests", fields=fields)
    if before is None or before.state is not after.state:
        bad = after.state in (ReplicaState.BACKOFF, ReplicaState.UNREADY)
        yield Event(
            when_s=when_s,
            subject=after.id,
            reason=str(after.state),
            says=after.reason or "",
            warning=bad,
            fields=fields,
        )


def _services(status: Status | None) -> Mapping[str, ServiceStatus]:
    return {service.service: service for service in (*status.services, status.gateway)} if status else {}
