"""The work on units: their objects, how far they are applied, their failures and their back-off.

Called by runtimes.kubernetes.observing and runtimes.kubernetes.runtime. Takes no clock.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from bateau.domain.apply_order import rank
from bateau.domain.object_state import ObjectState
from bateau.domain.unit import Objects, Unit
from bateau.kit.backoff import Backoff
from bateau.runtimes.kubernetes.live import Key
from bateau.runtimes.kubernetes.wanted import Wanted, placed, wanted

RETRY: Final = Backoff(initial_s=1.0, ceiling_s=60.0, jitter=0.3)


@dataclass(slots=True)
class Work:
    """The objects of a unit in their order, and their state on the cluster.

    `revision` is the desired one; it becomes `applied` when the API server has every object, and `done` when the
    inventory is saved and former objects are removed. `states` are those of the objects, None if they may be old.
    """

    service: str
    revision: str
    objects: tuple[Wanted, ...]
    applied: str | None = None
    done: str | None = None
    failures: int = 0
    retry_at: float = 0.0
    says: str = ""
    refused: dict[Key, str] = field(default_factory=dict[Key, str])
    states: tuple[ObjectState, ...] | None = None
    unsettled: bool = False

    @property
    def is_applied(self) -> bool:
        """Whether the API server has every object of the desired revision."""
        return self.applied == self.revision

    def is_due(self, now: float) -> bool:
        """Whether the unit is to be applied for the first time, or again."""
        return self.retry_at <= now if self.failures else not self.is_applied

    def waves(self) -> Iterator[list[Wanted]]:
        """Yield the objects that can be applied at once, in the order of their kinds."""
        for _, same in groupby(self.objects, key=_rank):
            yield list(same)

    def fail(self, says: str, now: float) -> None:
        """Note why the unit could not be applied, and when it is tried again."""
        self.failures += 1
        self.says = says
        self.retry_at = now + RETRY.delay_s(self.failures, seed=self.service)
        self.states = None

    def succeed(self) -> None:
        """Note that every object was applied."""
        self.applied = self.revision
        self.failures, self.says = 0, ""
        self.states = None


class Works:
    """The work on all units of one owner.

    `services` has the service of each wanted object; `pending` the services that are not done, or have failed; `held`
    those that are not to be changed. `fresh` are new since their kinds were looked up. `generation` counts the changes
    of the desired state. `forbidden` has the kinds that the account may not read, with the reason.
    """

    def __init__(self, *, owner: str, namespace: str) -> None:
        self._owner = owner
        self._namespace = namespace
        self.by_service: dict[str, Work] = {}
        self.services: dict[Key, str] = {}
        self.pending: set[str] = set()
        self.held: frozenset[str] = frozenset()
        self.fresh: dict[str, Work] = {}
        self.generation = 0
        self.forbidden: Mapping[tuple[str, str], str] = {}

    def want(self, units: Sequence[Unit], held: Collection[str]) -> bool:
        """Make these units the desired ones. Returns whether that is a change."""
        before = self.by_service
        works: dict[str, Work] = {
            unit.key: former
            if (former := before.get(unit.key)) is not None and former.revision == unit.revision
            else _work(unit, former, owner=self._owner)
            for unit in units
        }
        changed = [each for key, each in works.items() if before.get(key) is not each]
        if not changed and works.keys() == before.keys() and frozenset(held) == self.held:
            return False
        self.pending = (self.pending & works.keys()) | {each.service for each in changed}
        self.by_service, self.held = works, frozenset(held)
        for key, each in before.items():
            if works.get(key) is not each:
                self._forget(each)
        for each in changed:
            self.fresh[each.service] = each
            self.services.update((wanted.key, each.service) for wanted in each.objects)
        self.generation += 1
        return True

    def drop(self, services: Collection[str] | None) -> None:
        """Want no unit of these services any longer; None means all."""
        kept = {key: each for key, each in self.by_service.items() if services is not None and key not in services}
        for key, each in self.by_service.items():
            if key not in kept:
                self._forget(each)
        self.by_service = kept
        self.pending &= kept.keys()
        self.generation += 1

    def place(self, works: Iterable[Work], is_namespaced: Callable[[str, str], bool | None]) -> None:
        """Give objects of third-party kinds their namespaces, as far as the kinds are known."""
        for work in works:
            objects = placed(work.objects, self._namespace, is_namespaced)
            if objects is not work.objects:
                work.objects, work.states = objects, None
                if self.by_service.get(work.service) is work:
                    self.services.update((each.key, work.service) for each in objects)

    def due(self, now: float, touched: AbstractSet[str]) -> list[Work]:
        """Return the work to do: units that are not applied, retries, and `touched` services."""
        chosen = {key for key in self.pending if self.by_service[key].is_due(now)}
        return [self.by_service[key] for key in sorted(chosen | (touched - self.pending))]

    def staying(self) -> set[str]:
        """Return the services whose former objects stay: those held, and those that are not applied whole."""
        return {*self.held, *(key for key in self.pending if not self.by_service[key].is_applied)}

    def note_forbidden(self, forbidden: Mapping[tuple[str, str], str]) -> None:
        """Note the kinds that the account may not read. If they differ, every state may be old."""
        if forbidden != self.forbidden:
            self.forbidden = forbidden
            for work in self.by_service.values():
                work.states = None

    def note_done(self) -> None:
        """Note the units that are applied, and listed, and without former objects."""
        for key in list(self.pending):
            work = self.by_service[key]
            work.done = work.applied
            if work.done == work.revision and not work.failures:
                self.pending.discard(key)

    def noted(self, keys: Iterable[Key]) -> Iterator[tuple[Key, Work]]:
        """Yield the work that wants these objects; its states may be old."""
        for key in keys:
            if service := self.services.get(key):
                self.by_service[service].states = None
                yield key, self.by_service[service]

    def _forget(self, work: Work) -> None:
        self.fresh.pop(work.service, None)
        for each in work.objects:
            if self.services.get(each.key) == work.service:
                del self.services[each.key]


def _work(unit: Unit, former: Work | None, *, owner: str) -> Work:
    """Return the work on a unit; what was applied of an earlier revision stays known."""
    applied = former.applied if former else None
    if not isinstance(unit.body, Objects):
        refusing = Work(unit.key, unit.revision, (), applied=applied)
        refusing.fail(f"it was rendered for {unit.target}, which a cluster does not run", math.inf)
        return refusing
    objects = [wanted(each, service=unit.key, owner=owner) for each in unit.body.manifests]
    done = former.done if former else None
    return Work(unit.key, unit.revision, tuple(sorted(objects, key=_rank)), applied=applied, done=done)


def _rank(each: Wanted) -> int:
    return rank(each.key[0], each.key[1])
