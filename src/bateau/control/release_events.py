"""The events of releases: which service a revision adds, changes and removes, and how that ended.

Called by control.history and wiring.cluster_timeline. Pure.
"""

from collections.abc import Iterator, Mapping

from bateau.domain.event import Event
from bateau.domain.revision import Revision
from bateau.domain.timeline import ACTOR, COMMIT, REVISION, SERVICE


def released(before: Mapping[str, str], revision: Revision) -> Iterator[Event]:
    """Yield an event for each service that a revision adds, changes or removes, in the order of keys.

    `before` has the digests of the services until then.
    """
    for key in changed(before, revision.services):
        how = "adds" if key not in before else "removes" if key not in revision.services else "changes"
        yield _event(key, "Released", f"revision {revision.id} {how} it", revision, revision.when_s)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the keys of the services that differ between two mappings of keys to digests."""
    return [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]


def settled(services: list[str], revision: Revision, says: str, *, when_s: float) -> Iterator[Event]:
    """Yield an event for each service of a revision that has become healthy."""
    for key in services:
        if key in revision.services:
            yield _event(key, "Healthy", f"revision {revision.id}: {says}", revision, when_s)


def marked(services: list[str], revision: Revision) -> Iterator[Event]:
    """Yield an event for each service of a revision and each event of the revision itself."""
    for each in revision.events:
        reason = (each.outcome or "noted").title().replace(" ", "")
        for key in services:
            if key in revision.services and each.outcome != "applied":
                yield _event(key, reason, f"revision {revision.id}: {each.says}", revision, each.when_s)


def asked(service: str, reason: str, says: str, *, who: str, when_s: float) -> Event:
    """Return the event of an operation: a restart or a rollback, and who asked for it."""
    return Event(when_s=when_s, subject=service, reason=reason, says=says, fields={SERVICE: service, ACTOR: who})


def _event(key: str, reason: str, says: str, revision: Revision, when_s: float) -> Event:
    commit = {COMMIT: revision.commit} if revision.commit else {}
    fields = {SERVICE: key, REVISION: str(revision.id), ACTOR: revision.who, **commit}
    return Event(when_s=when_s, subject=key, reason=reason, says=says, fields=fields)
