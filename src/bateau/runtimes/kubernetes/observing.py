"""Make the observed state of a cluster from the known objects and pods, and the work on units.

Called by runtimes.kubernetes.runtime. Does no I/O.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain

from bateau.domain.change import object_name
from bateau.domain.object_state import ObjectState
from bateau.domain.replica import Replica
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.applying import Applier
from bateau.runtimes.kubernetes.live import Key
from bateau.runtimes.kubernetes.looking import object_state
from bateau.runtimes.kubernetes.pods import as_replica
from bateau.runtimes.kubernetes.removing import Remover
from bateau.runtimes.kubernetes.view import View
from bateau.runtimes.kubernetes.wanted import Wanted
from bateau.runtimes.kubernetes.work import Work, Works


@dataclass(frozen=True, slots=True)
class Observer:
    """Reads the parts of one runtime."""

    view: View
    works: Works
    applier: Applier
    remover: Remover

    def observe(self, *, unremoved: Mapping[Key, str], unknown: str | None, differs: bool) -> Observed:
        """Return the known state. Only units with news cost work.

        `unremoved` has why objects could not be removed. `differs`: the desired state has changed, and former objects
        may still exist.
        """
        for _ in self.works.noted(self.view.news):
            pass
        self.works.note_forbidden(self.view.forbidden)
        works = self.works.by_service.values()
        for work in [each for each in works if each.states is None]:
            work.states = tuple(self.state(work, each) for each in work.objects)
            work.unsettled = not all(each.settled for each in work.states)
        # With 10,000 objects, each loop of Python counts: listeners are woken less often while a look takes long.
        objects = [*chain.from_iterable([each.states or () for each in works])]
        moving = {each.service for each in works if each.unsettled or each.done != each.revision}
        failures = {each.service: each.says for each in works if each.says}
        left = {**self.remover.left, **unremoved}
        objects += (ObjectState(key=key, service=None, phase="left", says=says) for key, says in left.items())
        for each in self._going(self.remover.listed.keys() if differs else self.remover.ending):
            objects.append(each)
            moving |= {each.service} if each.service else set()
        return Observed(
            replicas=self._replicas(),
            failures=failures,
            moving=frozenset(moving),
            unknown=unknown or self.view.unknown,
            objects=tuple(objects),
        )

    def late(self, keys: Iterable[Key], services: Collection[str] | None) -> dict[str, str]:
        """Return why objects that are being removed, and the pods of services, still exist, by name."""
        live = self.view.live
        late = {object_name(key): live[key].health.says for key in keys if key in self.remover.ending and key in live}
        pods = (pod for service, pod, _ in self.view.pods() if services is None or service in services)
        return late | {f"{pod.namespace}/{pod.name}": "the pod has not ended" for pod in pods}

    def state(self, work: Work, each: Wanted) -> ObjectState:
        """Return the state of one wanted object."""
        live = self.view.live.get(each.key)
        if says := work.refused.get(each.key):
            return ObjectState(key=each.key, service=work.service, phase="refused", says=says)
        if says := self.works.forbidden.get(each.key[:2]):
            return ObjectState(key=each.key, service=work.service, phase="refused", says=says)
        if live is None and each.key in self.applier.shared:
            return ObjectState(key=each.key, service=work.service, phase="current")
        if each.once and self.remover.is_made(each.key, each.content) and not self.applier.is_awaited(each.key, live):
            if live is None:
                return ObjectState(key=each.key, service=work.service, phase="gone")
        elif live is None or not self.applier.is_told(each.key, live):
            return ObjectState(key=each.key, service=work.service, phase="waiting")
        return replace(object_state(live, self.applier.drifted.get(each.key, ())), service=work.service)

    def _going(self, keys: AbstractSet[Key]) -> Iterator[ObjectState]:
        """Yield the objects that are not wanted and still exist."""
        for key in sorted(keys - self.works.services.keys()):
            listed = self.remover.listed.get(key)
            if listed is None or listed.service in self.works.held:
                continue
            live = self.view.live.get(key)
            says = live.health.says if live and live.health.state == "terminating" else ""
            yield ObjectState(key=key, service=listed.service or None, phase="terminating", says=says)

    def _replicas(self) -> tuple[Replica, ...]:
        works = self.works.by_service
        found = [
            as_replica(service, pod, revision=(works[service].applied or "") if newest and service in works else "")
            for service, pod, newest in self.view.pods()
        ]
        return tuple(sorted(found, key=lambda each: each.id))
