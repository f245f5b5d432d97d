"""Run units as objects of a cluster: apply changed objects, watch their state, remove unwanted ones.

Called by wiring. control uses it through ports.runtime. Rolling, surge,
draining and restarts are the cluster's own: a Deployment has them.

Invariant: no method waits, except `remove`: the work is a task whose end is observed. Held by
tests/ports/test_runtime.py.
Invariant: a failure of one unit, expected or a bug, is reported with its reason, retried after a back-off, and does
not affect other units. Held by tests/runtimes/kubernetes/test_runtime.py.
Invariant: a control plane that dies at any request leaves nothing that the next one does not find. Held by
tests/runtimes/kubernetes/test_killed.py.
Invariant: news about one object cost work for that object, and not for all. Held by
tests/runtimes/kubernetes/test_bounds.py.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from bateau.domain.apply_order import rank
from bateau.domain.change import object_name
from bateau.domain.endpoint import PlaneState
from bateau.domain.errors import BateauError, ClusterError, ClusterUnreachable, bug
from bateau.domain.unit import Unit
from bateau.ports.clock import Clock
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.api import ApiServer
from bateau.runtimes.kubernetes.applying import Applier, DriftPolicy
from bateau.runtimes.kubernetes.definitions import established
from bateau.runtimes.kubernetes.live import Key
from bateau.runtimes.kubernetes.observing import Observer
from bateau.runtimes.kubernetes.removing import Remover
from bateau.runtimes.kubernetes.view import View
from bateau.runtimes.kubernetes.wanted import Wanted
from bateau.runtimes.kubernetes.watches import OwnWatches, Watches
from bateau.runtimes.kubernetes.work import RETRY, Work, Works

log = logging.getLogger(__name__)

_AWAY_S: Final = 5.0  # how long to wait before a cluster that is away is tried again
_WAKE_S: Final = 0.03
_RESYNC_S: Final = 600.0  # how often the inventory is checked without a reason
REMOVE_S: Final = 60.0  # how long `remove` waits for pods and finalizers
# Namespaces and definitions: without them, other objects are refused.
_FIRST: Final = rank("apiextensions.k8s.io", "CustomResourceDefinition")


class KubernetesRuntime:
    """The runtime of one cluster for one owner of objects; satisfies `bateau.ports.runtime.Runtime`.

    `namespace` holds the inventory, and objects whose kind has namespaces and that name none. `repository` names the
    repository of the specs, "" if it is not known. `drift` says what happens to a field that another manager has taken
    over. With `force`, fields that others held before are taken, too, of all objects or of these. `watches` are those
    of the cluster's state; without them, the runtime has its own.
    """

    name = "kubernetes"

    def __init__(
        self,
        api: ApiServer,
        clock: Clock,
        *,
        owner: str,
        namespace: str = "default",
        repository: str = "",
        drift: DriftPolicy = "repair",
        force: bool | frozenset[Key] = False,
        watches: Watches | None = None,
    ) -> None:
        self.api = api
        self._clock = clock
        self._namespace = namespace
        self._view = View(api, owner=owner, changed=self._told, watches=watches or OwnWatches(api))
        self._applier = Applier(api, owner=owner, drift=drift, force=force)
        self._remover = Remover(api, owner=owner, namespace=namespace, repository=repository)
        self._works = Works(owner=owner, namespace=namespace)
        self._observer = Observer(self._view, self._works, self._applier, self._remover)
        self._unremoved: dict[Key, str] = {}
        self._removals_failed = 0
        self._reconciled = -1  # the generation of the units whose former objects are removed
        self._watches_listed = False
        self._checked_at = clock.monotonic()  # when the inventory was compared with the cluster
        self._unknown: str | None = None
        self._seen: Observed | None = None
        self._wakes: list[Callable[[], None]] = []
        self._waking: asyncio.TimerHandle | None = None
        self._woken_at = 0.0
        self._look_s = 0.0  # how long it takes to make the observed state
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._due = asyncio.Event()

    @property
    def is_read(self) -> bool:
        """Whether the state of the cluster has been read and compared, since the start."""
        return self._reconciled >= 0

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever the result of `observe` has changed, or work is due."""
        self._wakes.append(wake)

    async def adopt(self) -> None:
        """Read which objects an earlier control plane has made. Does not fail: the cluster may be away."""
        try:
            await self._remover.read()
        except ClusterError as error:
            self._unknown = _says(error)

    def apply(self, units: Sequence[Unit], *, held: Collection[str] = ()) -> None:
        """Make `units` the desired state, without waiting."""
        if self._works.want(units, held):
            self._seen = None
            self._due.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"reconcile {self.api.name}")

    def note_planes(self, state: PlaneState) -> None:
        """Nothing: pods drain by their own grace period."""

    def observe(self) -> Observed:
        """Return the pods as replicas, and the objects, as far as they are known now."""
        if self._seen is None:
            differs = self._reconciled != self._works.generation
            started = self._clock.monotonic()
            self._seen = self._observer.observe(unremoved=self._unremoved, unknown=self._unknown, differs=differs)
            self._look_s = self._clock.monotonic() - started
        return self._seen

    async def metrics(self) -> Mapping[str, str | None]:
        """Return nothing: a cluster's own Prometheus reads its pods."""
        return {}

    async def remove(self, services: Collection[str] | None = None) -> Mapping[str, str]:
        """Remove the objects of `services` (None: of all), and wait until they and their pods are gone.

        Returns why an object could not be removed, by its name.
        """
        changed = asyncio.Event()
        self._wakes.append(changed.set)
        try:
            async with self._turn:
                self._works.drop(services)
                await self._remover.read()
                await self._watch(())
                listed = self._remover.listed
                chosen = [key for key, each in listed.items() if services is None or each.service in services]
                refused = await self._removed(chosen)
                late = await self._ends(chosen, services, changed)
                refused |= await self._removed([key for key in self._remover.ending if key not in self._view.live])
        finally:
            self._wakes.remove(changed.set)
        return {object_name(key): says for key, says in refused.items()} | late

    def kill(self) -> None:
        """Nothing: pods do not depend on this process."""

    async def close(self) -> None:
        """End the watches and the work, without changing any object."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._view.close()
        self._wakes.clear()
        if self._waking:
            self._waking.cancel()
        await self.api.close()

    async def _run(self) -> None:
        """Reconcile whenever something may differ, until cancelled."""
        while True:
            self._due.clear()
            pause = _AWAY_S
            try:
                async with self._turn:
                    pause = await self._reconcile()
                self._unknown = None
            except ClusterError as error:
                self._unknown = _says(error)
            except Exception as error:
                log.exception("reconciling %s failed", self.api.name)
                self._unknown = bug(error)
            self._wake()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._due.wait()

    async def _reconcile(self) -> float:
        """Apply the units that are due, and remove unwanted objects. Return the seconds until the next look.

        Raises ClusterError; then the news stay, and the next turn does the same work.
        """
        await self._remover.read()
        generation = self._works.generation
        if differs := generation != self._reconciled:
            await self._watch(list(self._works.fresh.values()))
        news, self._view.news = self._view.news, set()
        news |= self._applier.vanished(self._view.live, self._view.known_until)
        now = self._clock.monotonic()
        try:
            await self._applier.note_drift(news, self._view.live)
            live, lost = self._view.live, self._applier.is_due
            touched = {work.service for key, work in self._works.noted(news) if lost(key, live.get(key))}
            due = self._works.due(now, touched)
            # A lost object may have gone with its namespace, and the inventory, too.
            whole = bool(touched) or now - self._checked_at > _RESYNC_S
            if due or whole:
                await self._apply_all(due, whole=whole)
                self._checked_at = now if whole else self._checked_at
            if due or differs or self._unremoved or any(key not in self._works.services for key in news):
                await self._prune()
        except BaseException:
            self._view.news |= news
            raise
        self._reconciled = generation
        self._works.note_done()
        works = self._works.by_service
        waits = [works[key].retry_at - now for key in self._works.pending if works[key].failures]
        waits += [RETRY.delay_s(self._removals_failed)] if self._unremoved else []
        return max(0.1, min([*waits, _RESYNC_S]))

    async def _apply_all(self, due: Sequence[Work], *, whole: bool) -> None:
        """Apply units; list their objects before that, and their uids after it. Raises ClusterError."""
        named = {each.key[2] for work in due for each in work.objects} | {self._namespace}
        await self._applier.make_namespaces(sorted(named - {""}))
        for work in due:
            self._remover.announce(work.service, work.objects)
        await self._remover.save(whole=whole)
        # Their failures appear again, and are reported, when their units are applied.
        first = [(work, each) for work in due for each in work.objects if rank(*each.key[:2]) <= _FIRST]
        if first:
            await asyncio.gather(*(self._apply_object(*each) for each in first), return_exceptions=True)
            await established(self.api, (each for work in due for each in work.objects))
        await self._watch(due)  # kinds may be served now that were not before
        for work in due:
            self._remover.announce(work.service, work.objects)
        await self._remover.save()
        ends = await asyncio.gather(*(self._apply_unit(work) for work in due), return_exceptions=True)
        await self._remover.save()
        _raise(ends)  # the cluster is away; no unit is at fault
        applied = [each.key for work in due for each in work.objects]
        # A kind may be served since a moment before its object was applied.
        if not all(self._view.is_watched(key) for key in applied if self._applier.is_applied(key)):
            await self._watch(due)
        # The watch may have told them before the API server answered.
        if told := [key for key in applied if self._applier.is_told(key, self._view.live.get(key))]:
            self._view.news.update(told)
            self._due.set()

    async def _apply_unit(self, work: Work) -> None:
        """Apply the objects of a unit in their order; a refused one stops those after it.

        Contains every failure of the unit. Raises ClusterUnreachable.
        """
        try:
            work.refused.clear()
            for wave in work.waves():
                _raise(await asyncio.gather(*(self._apply_object(work, each) for each in wave), return_exceptions=True))
                if work.refused:
                    key, says = next(iter(work.refused.items()))
                    self._fail(work, f"{object_name(key)}: {says}")
                    return
        except ClusterUnreachable:
            raise
        except BateauError as error:
            self._fail(work, _says(error))
        except Exception as error:  # noqa: BLE001 - a bug in one unit must not stop the others
            self._fail(work, bug(error), error=error)
        else:
            work.succeed()

    async def _apply_object(self, work: Work, each: Wanted) -> None:
        live = self._view.live.get(each.key)
        if each.once and self._remover.is_made(each.key, each.content) and (live is None or not each.content):
            return
        made = await self._applier.apply(each, live)
        if made.refused is None:
            self._remover.applied(each, work.service, made.uid, made_here=made.made_here)
        else:
            work.refused[each.key] = made.refused

    def _fail(self, work: Work, says: str, *, error: Exception | None = None) -> None:
        if work.says != says:
            log.error("%s: %s", work.service, says, exc_info=error)
        work.fail(says, self._clock.monotonic())
        if self._works.by_service.get(work.service) is work:
            self._works.pending.add(work.service)
        self._wake()

    async def _watch(self, works: Collection[Work]) -> None:
        """Watch the kinds that these units have or that are listed, and the pods beside them. Raises ClusterError."""
        wanted = [each for work in works for each in work.objects]
        kinds = {(each.api_version, each.key[1]) for each in wanted}
        namespaces = {each.key[2] for each in wanted}
        if not self._watches_listed:
            listed = self._remover.listed
            kinds |= {(each.version, key[1]) for key, each in listed.items()}
            namespaces |= {key[2] for key in listed}
        await self._view.watch(sorted(kinds), sorted(namespaces - {""}))
        self._watches_listed = True
        self._works.place(works, self.api.is_namespaced)
        for each in works:
            if self._works.fresh.get(each.service) is each:
                del self._works.fresh[each.service]

    async def _ends(
        self, keys: Iterable[Key], services: Collection[str] | None, changed: asyncio.Event
    ) -> dict[str, str]:
        """Wait until these objects, and the pods of services, are gone. Return why some are not, by name."""
        ends_at = self._clock.monotonic() + REMOVE_S
        while (late := self._observer.late(keys, services)) and (left_s := ends_at - self._clock.monotonic()) > 0:
            changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await changed.wait()
        return late

    async def _prune(self) -> None:
        """Remove listed objects that are no longer wanted. A unit that is not applied whole keeps its old objects."""
        live, stays = self._view.live, self._works.staying()
        listed, wanted = self._remover.listed, self._works.services.keys()
        chosen = [
            key
            for key in sorted(listed.keys() - wanted)
            if (listed[key].service or (live[key].service if key in live else "")) not in stays
            and not (key in self._remover.ending and key in live)
        ]
        self._unremoved = await self._removed(chosen) if chosen else {}
        self._removals_failed = self._removals_failed + 1 if self._unremoved else 0
        self._remover.note_copies(live, wanted)

    async def _removed(self, keys: Collection[Key]) -> dict[Key, str]:
        refused = await self._remover.remove(keys) if keys else {}
        for key in keys:
            if key not in refused:
                self._applier.forget(key)
        self._wake()
        return refused

    def _told(self) -> None:
        """A watch has news: look for due work."""
        self._due.set()
        self._wake()

    def _wake(self) -> None:
        """Wake the listeners: at once, and then not again for a while, however many events come.

        Each of them reads the whole state, which must not take more than a tenth of the time.
        """
        self._seen = None
        if self._waking is None:
            loop = asyncio.get_running_loop()
            at = max(loop.time(), self._woken_at + max(_WAKE_S, 10 * self._look_s))
            self._waking = loop.call_at(at, self._wake_now)

    def _wake_now(self) -> None:
        self._waking, self._woken_at = None, asyncio.get_running_loop().time()
        for wake in self._wakes:
            wake()


def _raise(ends: Iterable[object]) -> None:
    """Raise the first exception."""
    for end in ends:
        if isinstance(end, BaseException):
            raise end


def _says(error: BateauError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
