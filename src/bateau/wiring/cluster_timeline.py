"""Tell the story of the services that an environment has on a cluster: its revisions, the cluster's events, and ends.

Called by cli.cluster_timeline. Nothing is stored for it: the cluster keeps its events for an hour, unless its
administrators have set another time, and the revisions for as long as `bateau history` shows them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bateau.control.deliveries import Deliveries
from bateau.control.destinations import Destination
from bateau.control.happenings import end_event
from bateau.control.release_events import changed, marked, released
from bateau.domain.event import Event
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.cluster_events import cluster_events
from bateau.runtimes.kubernetes.looking import look
from bateau.wiring.clusters import api_of, history_on, owner_of
from bateau.wiring.question import Question

CLUSTER = "cluster"


async def timeline_on(question: Question, place: Destination) -> list[Event]:
    """Return the events of an environment on a cluster, oldest first. Raises ClusterError."""
    history = await history_on(question, place)
    async with api_of(place) as api:
        seen = await look(api, owner=owner_of(question, place), namespace=place.namespace)
        namespaces = {place.namespace, *(each.key[2] for each in seen.objects)} - {""}
        found = [*_releases(history), *_ends(seen), *await cluster_events(api, seen, namespaces)]
    found.sort(key=lambda event: event.when_s)
    return [replace(event, fields={**event.fields, CLUSTER: place.name}) for event in found]


def _releases(history: Deliveries) -> Iterator[Event]:
    before: Mapping[str, str] | None = None
    for revision in history.revisions:
        if before is None and revision.id != 1:
            before = revision.services  # the one before it was forgotten, so its changes are not known
        yield from released(before or {}, revision)
        yield from marked(changed(before or {}, revision.services), revision)
        before = revision.services


def _ends(seen: Observed) -> Iterator[Event]:
    """Yield the last end of a container of each pod: Kubernetes has no event for it."""
    for replica in seen.replicas:
        if replica.last_end is not None:
            yield end_event(replica, replica.last_end)
