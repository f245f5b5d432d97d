"""Read the events that a cluster keeps about the services of an environment.

Called by wiring.cluster_timeline. Needs read rights only.

An event names one object. It belongs to the service whose object that is, or whose object has created it: the name of a
pod begins with the name of its Deployment, also once the pod is gone.
"""

from collections.abc import Collection
from typing import Final

from bateau.domain.event import Event
from bateau.domain.timeline import SERVICE, SOURCE
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.kit.rfc3339 import seconds_of
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.api import ApiServer, Resource

_EVENTS: Final = Resource("/api/v1", "events", namespaced=True)
_CREATORS: Final = 3  # a pod of a CronJob has two: the CronJob and its Job
_DOCUMENTS: Final = "bateau.dev/"


async def cluster_events(api: ApiServer, seen: Observed, namespaces: Collection[str]) -> list[Event]:
    """Return the events about the services of an environment, in no order. Raises ClusterError."""
    names = _ServiceNames(seen)
    found: list[Event | None] = []
    for namespace in sorted(namespaces):
        events, _ = await api.list(_EVENTS, names.event, namespace=namespace)
        found += events
    return [event for event in found if event is not None]


class _ServiceNames:
    """Finds the service of an object by the objects that Bateau has created."""

    def __init__(self, seen: Observed) -> None:
        self._objects = {each.key[1:]: each.service for each in seen.objects if each.service}
        self._names = {key[1:]: service for key, service in self._objects.items()}
        self._pods = {replica.id: replica.service for replica in seen.replicas}

    def event(self, tree: JsonObject) -> Event | None:
        """Return an event of the cluster, None if it is about none of the services."""
        about = object_at(tree.get("involvedObject"))
        service = self._service(about)
        if service is None:
            return None
        source = text_at(tree, "reportingComponent") or text_at(tree, "source", "component")
        count = tree.get("count")
        return Event(
            when_s=_when(tree),
            subject=f"{text_at(about, 'kind')} {text_at(about, 'name')}",
            reason=text_at(tree, "reason"),
            says=text_at(tree, "message"),
            warning=text_at(tree, "type") == "Warning",
            fields={
                SERVICE: service,
                **({SOURCE: source} if source else {}),
                **({"count": str(count)} if isinstance(count, int) and count > 1 else {}),
            },
        )

    def _service(self, about: JsonObject) -> str | None:
        kind, namespace, name = text_at(about, "kind"), text_at(about, "namespace"), text_at(about, "name")
        if text_at(about, "apiVersion").startswith(_DOCUMENTS):
            return f"{kind.lower()}/{name}"
        found = self._objects.get((kind, namespace, name)) or self._pods.get(f"{namespace}/{name}")
        for _ in range(_CREATORS):
            name, dash, _ = name.rpartition("-")
            found = found or (self._names.get((namespace, name)) if dash else None)
        return found


def _when(tree: JsonObject) -> float:
    times = (
        text_at(tree, "series", "lastObservedTime"),
        text_at(tree, "lastTimestamp"),
        text_at(tree, "eventTime"),
        text_at(tree, "metadata", "creationTimestamp"),
    )
    return next((found for time in times if (found := seconds_of(time)) is not None), 0.0)
