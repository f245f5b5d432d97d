"""Run units as objects of a cluster: apply changed objects, watch their state, remove unwanted ones.

Called by wiring.clusters and wiring.controller. control uses it through ports.runtime. Rolling, surge, draining and
restarts are the cluster's own: a Deployment has them.

Invariant: no method waits: the work is a task whose end is observed. Held by tests/ports/test_runtime.py.
Invariant: a failure of one unit, expected or a bug, is reported with its reason, retried after a back-off, and does
not affect other units. Held by tests/runtimes/kubernetes/test_runtime.py.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bateau.domain.apply_order import rank
from bateau.domain.change import object_name
from bateau.domain.endpoint import Load
from bateau.domain.errors import BateauError, ClusterError, ClusterUnreachable, bug
from bateau.domain.manifest import Manifest
from bateau.domain.object_state import ObjectState
from bateau.domain.unit import Objects, Unit
from bateau.kit.backoff import Backoff
from bateau.ports.clock import Clock
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.api import ApiServer
from bateau.runtimes.kubernetes.applying import Applier, DriftPolicy
from bateau.runtimes.kubernetes.live import Key, Live
from bateau.runtimes.kubernetes.looking import object_state
from bateau.runtimes.kubernetes.pods import as_replica
from bateau.runtimes.kubernetes.removing import Remover
from bateau.runtimes.kubernetes.view import View

log = logging.getLogger(__name__)

_RETRY: Final = Backoff(initial_s=1.0, ceiling_s=60.0, jitter=0.3)
_AWAY_S: Final = 5.0  # how long to wait before a cluster that is away is tried again
# Namespaces and definitions: without them, other objects are refused.
_FIRST: Final = rank("apiextensions.k8s.io", "CustomResourceDefinition")


@dataclass
class _Work:
    """The state of one unit: its refused objects, its back-off, and the revision that is applied whole.

    `revision` becomes `applied` when its objects are saved in the inventory.
    """

    failures: int = 0
    retry_at: float = 0.0
    says: str = ""
    refused: dict[Key, str] = field(default_factory=dict[Key, str])
    applied: str | None = None
    revision: str | None = None


class KubernetesRuntime:
    """The runtime of one cluster for one owner of objects; satisfies `bateau.ports.runtime.Runtime`.

    `namespace` holds the inventory. `drift` says what happens to a field that another manager has taken over. With
    `force`, fields that others held before are taken, too.
    """

    name = "kubernetes"

    def __init__(
        self,
        api: ApiServer,
        clock: Clock,
        *,
        owner: str,
        namespace: str = "default",
        drift: DriftPolicy = "repair",
        force: bool = False,
    ) -> None:
        self.api = api
        self._clock = clock
        self._namespace = namespace
        self._view = View(api, owner=owner, changed=self._told)
        self._applier = Applier(api, owner=owner, drift=drift, force=force)
        self._remover = Remover(api, owner=owner, namespace=namespace)
        self._units: dict[str, Unit] = {}
        self._held: frozenset[str] = frozenset()
        self._work: dict[str, _Work] = {}
        self._unremoved: dict[Key, str] = {}
        self._unknown: str | None = None
        self._wakes: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._due = asyncio.Event()

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever the result of `observe` has changed, or work is due."""
        self._wakes.append(wake)

    async def adopt(self) -> None:
        """Read which objects an earlier control plane has made. Does not fail: the cluster may be away."""
        try:
            await self._remover.read()
        except ClusterError as error:
            self._unknown = error.message

    def apply(self, units: Sequence[Unit], *, held: Collection[str] = ()) -> None:
        """Make `units` the desired state, without waiting."""
        wanted: dict[str, Unit] = {unit.key: unit for unit in units}
        if wanted != self._units or frozenset(held) != self._held:
            self._work = {key: _Work(applied=self._revision(key), revision=self._revision(key)) for key in wanted}
            self._units, self._held = wanted, frozenset(held)
            self._due.set()
        if self._task is None:
            self._due.set()
            self._task = asyncio.create_task(self._run(), name=f"reconcile {self.api.name}")

    def note_load(self, load: Load | None) -> None:
        """Nothing: pods drain by their own grace period."""

    def observe(self) -> Observed:
        """Return the pods as replicas, and the objects, as far as they are known now."""
        live = self._view.objects()
        workloads = {each.uid: each.service for each in live.values() if each.service}
        replicas = [
            as_replica(service, pod, revision=(self._revision(service) or "") if newest else "")
            for service, pod, newest in self._view.pods_of(workloads)
        ]
        objects = self._states(live)
        moving = {key for key, unit in self._units.items() if self._revision(key) != unit.revision}
        moving |= {each.service for each in objects if each.service and not each.settled}
        return Observed(
            replicas=tuple(sorted(replicas, key=lambda each: each.id)),
            failures={key: work.says for key, work in self._work.items() if work.says},
            moving=frozenset(moving),
            seen_at=self._clock.monotonic(),
            unknown=self._unknown or self._view.unknown,
            objects=tuple(objects),
        )

    async def metrics(self) -> Mapping[str, str | None]:
        """Return nothing: a cluster's own Prometheus reads its pods."""
        return {}

    async def remove(self, services: Collection[str] | None = None) -> Mapping[str, str]:
        """Remove the objects of `services` (None: of all). Return why an object could not be removed, by its name."""
        self._units = {key: unit for key, unit in self._units.items() if services is not None and key not in services}
        await self._remover.read()
        live = self._view.objects()
        chosen = [
            key for key in self._remover.listed if services is None or (key in live and live[key].service in services)
        ]
        refused = await self._removed(chosen)
        return {object_name(key): says for key, says in refused.items()}

    def kill(self) -> None:
        """Nothing: pods do not depend on this process."""

    async def close(self) -> None:
        """End the watches and the work, without changing any object."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._view.close()
        self._wakes.clear()
        await self.api.close()

    async def _run(self) -> None:
        """Reconcile whenever something may differ, until cancelled."""
        while True:
            self._due.clear()
            pause: float | None = _AWAY_S
            try:
                pause = await self._reconcile()
                self._unknown = None
            except ClusterError as error:
                self._unknown = error.message
            except Exception as error:
                log.exception("reconciling %s failed", self.api.name)
                self._unknown = bug(error)
            self._wake()
            try:
                async with asyncio.timeout(pause):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _reconcile(self) -> float | None:
        """Apply the units that are due, and remove unwanted objects. Return the seconds until the next retry.

        Returns None if nothing is to be tried again. Raises ClusterError.
        """
        await self._remover.read()
        units = dict(self._units)
        await self._watch(units)
        await self._applier.note_drift(self._view.objects())
        now = self._clock.monotonic()
        if due := [unit for unit in units.values() if self._is_due(unit, now)]:
            named = {each.key[2] for unit in due for each in _manifests(unit)} | {self._namespace}
            await self._applier.make_namespaces(sorted(named - {""}))
            await self._remover.announce(
                {each.key: str(each.tree["apiVersion"]) for unit in due for each in _manifests(unit)}
            )
            first = [(unit, each) for unit in due for each in _manifests(unit) if rank(*each.group_kind) <= _FIRST]
            # Their failures appear again, and are reported, when their units are applied.
            applied = (self._apply_object(*each, _Work()) for each in first)
            await asyncio.gather(*applied, return_exceptions=True)
            ends = await asyncio.gather(*(self._apply_unit(unit) for unit in due), return_exceptions=True)
            await self._remover.save()
            for work in self._work.values():
                work.revision = work.applied
            for end in ends:
                if isinstance(end, BaseException):  # the cluster is away; no unit is at fault
                    raise end
        await self._prune(units)
        waits = [work.retry_at - now for work in self._work.values() if work.failures]
        waits += [_AWAY_S] if self._unremoved else []
        return max(0.1, min(waits)) if waits else None

    def _is_due(self, unit: Unit, now: float) -> bool:
        work = self._work.get(unit.key)
        if work is None:
            return False
        if work.failures:
            return work.retry_at <= now
        live = self._view.objects()
        return work.revision != unit.revision or any(
            self._applier.is_due(each.key, live.get(each.key)) for each in _manifests(unit)
        )

    async def _apply_unit(self, unit: Unit) -> None:
        """Apply the objects of a unit in their order; a refused one stops those after it.

        Contains every failure of the unit. Raises ClusterUnreachable.
        """
        work = self._work.get(unit.key)
        if work is None:  # no longer wanted
            return
        try:
            by_rank: dict[int, list[Manifest]] = {}
            for each in _manifests(unit):
                by_rank.setdefault(rank(*each.group_kind), []).append(each)
            work.refused.clear()
            for _, manifests in sorted(by_rank.items()):
                await asyncio.gather(*(self._apply_object(unit, each, work) for each in manifests))
                if work.refused:
                    key, says = next(iter(work.refused.items()))
                    self._fail(unit.key, work, f"{object_name(key)}: {says}")
                    return
        except ClusterUnreachable:
            raise
        except BateauError as error:
            self._fail(unit.key, work, f"{error.message} ({error.hint})" if error.hint else error.message)
        except Exception as error:  # noqa: BLE001 - a bug in one unit must not stop the others
            self._fail(unit.key, work, bug(error), error=error)
        else:
            work.failures, work.says, work.applied = 0, "", unit.revision

    async def _apply_object(self, unit: Unit, manifest: Manifest, work: _Work) -> None:
        key = manifest.key
        made = await self._applier.apply(manifest, unit.key, self._view.objects().get(key))
        if made.refused is None:
            self._remover.applied(key, str(manifest.tree["apiVersion"]), made.uid, created=made.created)
        else:
            work.refused[key] = made.refused

    def _fail(self, service: str, work: _Work, says: str, *, error: Exception | None = None) -> None:
        if work.says != says:
            log.error("%s: %s", service, says, exc_info=error)
        work.failures += 1
        work.says = says
        work.retry_at = self._clock.monotonic() + _RETRY.delay_s(work.failures, seed=service)
        self._wake()

    async def _watch(self, units: Mapping[str, Unit]) -> None:
        """Watch each kind that is wanted or listed, and the pods where workloads are. Raises ClusterError."""
        wanted = {each.key: str(each.tree["apiVersion"]) for unit in units.values() for each in _manifests(unit)}
        await self._view.watch(wanted | {key: version for key, (version, _) in self._remover.listed.items()})

    async def _prune(self, units: Mapping[str, Unit]) -> None:
        """Remove listed objects that are no longer wanted. A unit that is not applied whole keeps its old objects."""
        wanted = {each.key for unit in units.values() for each in _manifests(unit)}
        live = self._view.objects()
        stays = self._held | {key for key, unit in units.items() if self._revision(key) != unit.revision}
        services = {key: each.service for key, each in live.items()}
        chosen = [key for key in self._remover.listed if key not in wanted and services.get(key, "") not in stays]
        self._unremoved = await self._removed(chosen) if chosen else {}
        self._remover.note_copies(live, wanted)

    async def _removed(self, keys: Collection[Key]) -> dict[Key, str]:
        refused = await self._remover.remove(keys)
        for key in keys:
            if key not in refused:
                self._applier.forget(key)
        self._wake()
        return refused

    def _states(self, live: Mapping[Key, Live]) -> list[ObjectState]:
        states = [
            self._state(service, each.key, live.get(each.key))
            for service, unit in self._units.items()
            for each in _manifests(unit)
        ]
        left = {**self._remover.left, **self._unremoved}
        return states + [ObjectState(key=key, service=None, phase="left", says=says) for key, says in left.items()]

    def _state(self, service: str, key: Key, live: Live | None) -> ObjectState:
        if says := self._work[service].refused.get(key):
            return ObjectState(key=key, service=service, phase="refused", says=says)
        if live is None or not self._applier.is_told(key, live):
            return ObjectState(key=key, service=service, phase="waiting")
        return replace(object_state(live, self._applier.drifted.get(key, ())), service=service)

    def _revision(self, service: str) -> str | None:
        work = self._work.get(service)
        return work.revision if work else None

    def _told(self) -> None:
        """A watch has news: look for due work."""
        self._due.set()
        self._wake()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()


def _manifests(unit: Unit) -> tuple[Manifest, ...]:
    if not isinstance(unit.body, Objects):
        raise TypeError(f"{unit.key} was rendered for {unit.target}, which a cluster does not run")
    return unit.body.manifests
