"""Observe the objects of an owner without applying anything: the state of a cluster for `status` and `logs`.

Called by runtimes.kubernetes.observing, wiring.cluster_timeline, wiring.clusters and wiring.installing. Needs read
rights only.
"""

from collections.abc import Callable, Iterator, Mapping

from bateau.domain.object_state import ObjectState
from bateau.kit.json_value import JsonObject
from bateau.kit.kstatus import Health, health
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.api import ApiServer
from bateau.runtimes.kubernetes.inventory import Listed
from bateau.runtimes.kubernetes.live import Key, Live
from bateau.runtimes.kubernetes.pods import as_replica
from bateau.runtimes.kubernetes.removing import Remover
from bateau.runtimes.kubernetes.view import View
from bateau.runtimes.kubernetes.watches import OwnWatches


async def look(
    api: ApiServer,
    *,
    owner: str,
    namespace: str,
    judge: Callable[[JsonObject], Health] = health,
) -> Observed:
    """Return the objects that Bateau has created for an owner, and their pods. Raises ClusterError.

    The revision of a replica is "" because the specs are not read.
    """
    made = Remover(api, owner=owner, namespace=namespace)
    await made.read()
    view = View(api, owner=owner, changed=lambda: None, watches=OwnWatches(api, judge=judge))
    try:
        kinds = {(each.version, key[1]) for key, each in made.listed.items()}
        await view.watch(sorted(kinds), sorted({key[2] for key in made.listed} - {""}))
        states = [object_state(each) for key, each in sorted(view.live.items()) if key in made.listed]
        states += _unread(made.listed, view.forbidden)
        replicas = [as_replica(service, pod, revision="") for service, pod, _ in view.pods()]
        return Observed(
            replicas=tuple(sorted(replicas, key=lambda each: each.id)),
            moving=frozenset(each.service for each in states if each.service and not each.settled),
            unknown=view.unknown,
            objects=tuple(states),
        )
    finally:
        await view.close()


def _unread(listed: Mapping[Key, Listed], forbidden: Mapping[tuple[str, str], str]) -> Iterator[ObjectState]:
    """Yield the objects whose kinds the account may not read."""
    for key, each in sorted(listed.items()):
        if says := forbidden.get(key[:2]):
            service = each.service or None
            yield ObjectState(key=key, service=service, phase="unknown", says=says, reason="Forbidden")


def object_state(live: Live, drift: tuple[tuple[str, str], ...] = ()) -> ObjectState:
    """Return the state of an object of the cluster."""
    return ObjectState(
        key=live.key,
        service=live.service or None,
        phase=live.health.state,
        says=live.health.says,
        reason=live.health.reason,
        drift=drift,
    )
