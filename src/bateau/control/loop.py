"""The one loop of a site: compare the specs with the running services, and close the gap.

Called by control.status and wiring.

Invariant: level-triggered. A turn starts from the current observation; a wake-up says only that something may differ.
Held by tests/control/test_texts.py and tests/control/test_snapshots.py::test_quiet_turns_make_no_snapshot.
Invariant: a turn never waits. Reading, fetching, starting and stopping are tasks, and acknowledgements are observed.
Held by tests/control/test_fetches.py and tests/ports/test_runtime.py::test_applying_does_not_wait.
Invariant: the gateway knows of a drain before the replica is stopped: the runtime stops none before the planes have
counted its requests. Held by tests/control/test_replicas.py.
Invariant: a failure in one service, backend or file, expected or a bug, is reported there; everything else continues.
Held by tests/control/test_contained.py.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Mapping

from bateau.control.addresses import addresses_of
from bateau.control.affinity import Affinity
from bateau.control.app_ports import AppPorts
from bateau.control.assembly import Assembly
from bateau.control.blocked import fetched, why_blocked, why_not_waking
from bateau.control.counts import Counts
from bateau.control.current_traffic import CurrentTraffic
from bateau.control.declared_keys import follow_declared
from bateau.control.desired import DesiredState
from bateau.control.fetches import Fetches
from bateau.control.happenings import report
from bateau.control.outside import Ports
from bateau.control.own_services import OwnServices
from bateau.control.path import models_needed
from bateau.control.planes import Planes
from bateau.control.preview import Preview, walked
from bateau.control.reach import Reach
from bateau.control.readiness import Readiness
from bateau.control.reading import Reader
from bateau.control.restarts import Restarted
from bateau.control.rollback import RolledBack
from bateau.control.saving import Saving
from bateau.control.scaling import Scaling, Seen
from bateau.control.service_keys import follow_keys, with_keys
from bateau.control.snapshots import Snapshots
from bateau.control.troubles import Step, Troubles
from bateau.control.walk import Outcome, World, walk
from bateau.domain.endpoint import Traffic
from bateau.domain.errors import BateauError
from bateau.domain.model_file import ModelFile, ModelTask
from bateau.domain.release import Release
from bateau.domain.replica import ReplicaState
from bateau.domain.status import ServiceStatus, Status
from bateau.domain.unit import Whereabouts
from bateau.domain.workload import Workload
from bateau.kit.latest import Latest
from bateau.ports.runtime import Observed
from bateau.render import TARGETS

logger = logging.getLogger(__name__)

RESYNC_S = 60.0
RETRY_S = 10.0
PROGRESS_S = 0.25  # how often the progress of a fetch is shown
REST_S_MAX = 1.0
STOPPING_SHOWN_S = 1.0  # how often a snapshot is made while everything stops


class Control:
    """The control plane of one site."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._wake = asyncio.Event()
        self.saving = Saving(ports.memory, ports.clock)
        self.desired = DesiredState(ports, self.saving, self._on_desired)
        self.planes = Planes(ports.site.planes)
        self.fetches = Fetches(ports.source, ports.clock, self.wake)
        self.reach = Reach(ports.prober, self.wake)
        self.snapshots = Snapshots()
        self._assembly = Assembly(ports.site.target)
        self.counts = Counts()
        self.outcome: Outcome | None = None
        self.troubles = Troubles()
        self.status: Callable[[], Status] | None = None  # set by wiring; without it there are no snapshots
        self._app_ports = AppPorts(self.saving, ports.numbers)
        self.scaling = Scaling(self.saving, ports.clock)
        self._scaled = Latest[Release]()
        self.own = OwnServices(ports.own_services)
        self.affinity = Affinity(ports.no_affinity)
        self.traffic = CurrentTraffic(sorted(self.planes.proxies), ports.secret, self.scaling, self.affinity)
        self._files: Mapping[str, ModelFile] = {}
        self._walked = Latest[Outcome]()
        self._current = False  # whether `outcome` belongs to the currently desired release
        self._addresses = Latest[Mapping[str, str]]()
        self._readiness = Latest[Readiness]()
        self.service_statuses: dict[str, Latest[ServiceStatus]] = {}  # by service key, for control.status
        self._reading: asyncio.Task[None] | None = None
        self._observed: Observed | None = None

    def task(self, key: str) -> ModelTask | None:
        """Return the task of a model by its service key; None if its file is not known."""
        file = self._files.get(key)
        return file.header.task if file else None

    @property
    def ports(self) -> Ports:
        """The adapters that this control plane works with."""
        return self._ports

    @property
    def release(self) -> Release:
        """The services that should run, each with the number of replicas that it should have now."""
        desired, scaling = self.own.beside(self.desired.release), self.scaling
        return self._scaled.of(lambda: scaling.applied(desired), same=(desired,), equal=(scaling.counts,))

    @property
    def observed(self) -> Observed:
        """The state of all replicas, as the runtime knows it now."""
        # The runtime wakes the loop whenever the result changes.
        if self._observed is None:
            self._observed = self._ports.site.runtime.observe()
        return self._observed

    @property
    def left_alone(self) -> bool:
        """Whether replicas run although no readable specs say if they should. Such replicas are not changed."""
        return not self.desired.known and any(
            replica.service not in self.planes.proxies for replica in self.observed.replicas
        )

    def wake(self) -> None:
        """Make the loop take a turn soon."""
        self._observed = None
        self._wake.set()

    def look_again(self) -> None:
        """Make the loop read the specs again, now."""
        self.desired.stale = True
        self.take_snapshot()  # from here on, no snapshot claims that everything is up to date
        self.wake()

    async def adopt(self) -> None:
        """Restore the state of the previous control plane, and adopt its running replicas. Call it before `run`."""
        await self.desired.remember()
        self._app_ports.remember()
        self.scaling.remember()
        self._ports.site.runtime.on_change(self.wake)
        self.planes.on_change(self.wake)
        await self._ports.site.runtime.adopt()

    async def run(self) -> None:
        """Keep closing the gap until cancelled. Running services continue after that."""
        watcher = asyncio.create_task(self._watch())
        try:
            while True:
                self._wake.clear()
                self._observed = None
                started = self._ports.clock.monotonic()
                try:
                    pause = self._turn()
                    self.troubles.clear("turn")
                except Exception as error:  # noqa: BLE001 - a bug in one turn must not end the loop
                    self._report("turn", error)
                    pause = RETRY_S
                self.take_snapshot()
                took = self._ports.clock.monotonic() - started
                self.counts.turns += 1
                self.counts.turn_s += took
                # Probes and the API need the event loop, too, so turns take half of its time at most.
                await asyncio.sleep(min(took, REST_S_MAX))
                # Not wait_for: Python 3.11's swallows a cancellation that comes together with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            tasks = [watcher, *([self._reading] if self._reading else [])]
            for task in tasks:
                task.cancel()
            await self.fetches.close()
            await self.reach.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop_all(self) -> Mapping[str, str]:
        """Stop every replica, the proxies first so that no request meets a replica that is gone.

        A replica that cannot be stopped does not keep the others running. Returns the reason for each such replica, by
        replica id. Snapshots show the progress.
        """
        runtime, showing = self._ports.site.runtime, asyncio.create_task(self._show_stopping())
        try:
            failed = {**await runtime.remove(self.planes.proxies), **await runtime.remove()}
        finally:
            showing.cancel()
        self.desired.forget()
        return failed

    async def _show_stopping(self) -> None:
        while True:
            await asyncio.sleep(STOPPING_SHOWN_S)
            self._observed = None
            self.take_snapshot()

    async def preview(self, texts: Mapping[str, str], reader: Reader | None = None) -> Preview:
        """Preview the effect of other texts, read by another reader if given. Nothing changes, nothing is fetched."""
        written, desired = await self.desired.instead(texts, reader)
        desired, now = map(self.scaling.applied, (desired, self.desired.release))
        world, keys = self._world(self.fetches.here(models_needed(desired))), self.desired.keys or ()
        target, outcome = self._ports.site.target, self.outcome
        return await asyncio.to_thread(walked, written, desired, now, world, target=target, now=outcome, keys=keys)

    async def rollback(self, service: str, *, to: int | None = None, who: str | None = None) -> RolledBack:
        """Hold a service at revision `to`, or at its last healthy one that differs. Raises ControlError."""
        made = await self.desired.rollback(service, to=to, who=who)
        self.take_snapshot()
        self.wake()
        return made

    async def restart(self, service: str, *, who: str | None = None) -> Restarted:
        """Replace every replica of a service, one after another. Raises ControlError."""
        made = await self.desired.restart(service, who=who)
        self.take_snapshot()
        self.wake()
        return made

    def why_blocked(self, service: Workload) -> str | None:
        """Return why a service cannot start, or None."""
        failures = {**self.traffic.unpublished, **self.observed.failures}
        return why_blocked(service, outcome=self.outcome, failures=failures, fetches=self.fetches)

    def addresses(self) -> Mapping[str, str]:
        """Return the URL at which clients reach each service, by service key."""
        target, where, release = TARGETS[self._ports.site.target], self._whereabouts(), self.release
        return self._addresses.of(lambda: addresses_of(release, target, where), same=(release,), equal=(where,))

    def _turn(self) -> float:
        """Take all steps that are possible now. Return how long the loop may sleep unless woken, in seconds."""
        # The notice of a change can get lost, so the specs are also read from time to time without one.
        due = self._ports.clock.monotonic() - self.desired.read_at >= RESYNC_S
        if (self.desired.stale or due) and self._reading is None:
            self._reading = asyncio.create_task(self._read())
        if not self.desired.read_once or self.left_alone:
            return RETRY_S
        site = self._ports.site
        self.saving.retry()
        self.traffic.try_again()
        self.scaling.follow(self.own.beside(self.desired.release), self._seen())
        try:
            self._app_ports.hand_out(self.release)
            follow_keys(self._ports.service_keys, self.release)
            self.troubles.clear("ports")
        except BateauError as error:  # no port is free, or the disk is full
            self._report("ports", error)
        follow_declared(self._ports.declared_keys, self.desired.keys, self.troubles)
        self.reach.follow(self.release)
        models = models_needed(self.release)
        asleep = {key: models[key] for key in models.keys() & self.scaling.asleep}
        awake = {key: source for key, source in models.items() if key not in asleep}
        files = {**self.fetches.here(asleep), **self.fetches.follow(awake)}  # a model is fetched when it wakes up
        # A temporarily missing file does not change the routes of the running replicas.
        known = {**{key: file for key, file in self._files.items() if key in models}, **files}
        self._files = self._files if known == self._files else known
        failing = {replica.service for replica in self.observed.replicas if replica.state is ReplicaState.BACKOFF}
        self.fetches.doubt(source for service, source in models.items() if service in failing)
        before, outcome = self.outcome, self._outcome(files)
        self.outcome, self._current = outcome, True
        if before is None or before.placement.capacities.keys() != outcome.placement.capacities.keys():
            self._wake.set()  # a model that wakes up may be placed now
        site.runtime.note_planes(self.planes.observe())
        units = with_keys(outcome.units, self._ports.service_keys, but_for=self.traffic.unpublished)
        held = (outcome.held - asleep.keys()) | self.traffic.unpublished.keys()
        site.runtime.apply((*self.planes.units(), *units), held=held)
        self._observed = None
        self.traffic.published = self._traffic_now()
        self.planes.publish(self.traffic.published)
        self.desired.history.note(ready=self.rolled_out, restarted=any(r.restarts for r in self._ready().replicas))
        return self._pause()

    async def _read(self) -> None:
        """Read and apply the specs. A failure is reported and retried; meanwhile running services stay supervised."""
        try:
            await self.desired.read()
            self.counts.reads += 1
            self.troubles.clear("read")
            self.troubles.clear("watch")  # it has run since then, or is about to be reported again
            self._reading = None
            self.wake()
        except Exception as error:  # noqa: BLE001 - a bug while reading must not end the loop
            self._report("read", error)
            self._read_later()

    def _read_later(self) -> None:
        """Read again after a pause, or earlier at a turn that something else causes."""
        self._reading = None
        first = not self.desired.read_once
        self.desired.stale = self.desired.read_once = True
        self.take_snapshot()
        asyncio.get_running_loop().call_later(0.0 if first else RETRY_S, self.wake)

    async def _watch(self) -> None:
        while True:
            try:
                async for _ in self._ports.texts.changes():
                    self.look_again()
            except Exception as error:  # noqa: BLE001 - a watch that fails is started again
                self._report("watch", error)
            await asyncio.sleep(RETRY_S)

    def _seen(self) -> Seen:
        """Return what the number of replicas depends on."""
        return Seen(
            replicas=self.observed.replicas,
            planes=self.planes.observe(),
            told=self.planes.observe().accepted and self.planes.has(self._traffic_now()),
            capacities=self.outcome.placement.capacities if self.outcome else {},
            refused=self.outcome.placement.refused.keys() if self.outcome else (),
            memory_bytes_total=lambda: self._ports.site.machine().memory_bytes_total,
            trouble=lambda each: why_not_waking(each, self.why_blocked(each), self.observed.replicas, self.fetches),
            fetching=lambda service: fetched(service, self.fetches),
        )

    def _outcome(self, files: Mapping[str, ModelFile]) -> Outcome:
        release, world = self.release, self._world(files)
        return self._walked.of(
            lambda: walk(release, world, self._assembly, before=self.outcome), same=(release,), equal=(world,)
        )

    def _world(self, files: Mapping[str, ModelFile]) -> World:
        site = self._ports.site
        return World(
            machine=site.machine(),
            files=files,
            directory=site.directory,
            where=self._whereabouts(),
        )

    def _whereabouts(self) -> Whereabouts:
        return self._app_ports.whereabouts(f"{self._ports.listen_url}/v1")

    def _on_desired(self) -> None:
        """Forget the failures of the previous release."""
        self.fetches.forget_failures()
        self._current = False
        self.wake()

    def _report(self, step: Step, error: Exception) -> None:
        self.counts.failed_turns += not isinstance(error, BateauError)
        self.troubles.report(step, error)

    def take_snapshot(self) -> None:
        """Make a snapshot if the status has changed, and emit the events since the previous snapshot."""
        if self.status is None:
            return
        try:
            before, after = self.snapshots.latest, self.snapshots.take(self.status())
            self.troubles.clear("status")
            if after is before:
                return
            report(self._ports.events, before, after, when_s=self._ports.clock.wall())
        except Exception as error:  # noqa: BLE001 - a failing status must not stop the services that it describes
            self._report("status", error)

    @property
    def up_to_date(self) -> bool:
        """Whether the planes have received the current traffic, and have accepted it."""
        proxies = self.planes.proxies
        running = any(r.service in proxies and r.state is ReplicaState.READY for r in self.observed.replicas)
        return self.planes.has(self._traffic_now()) and (not running or self.planes.observe().accepted)

    @property
    def rolled_out(self) -> bool:
        """Whether every replica that should run is ready, and the planes have accepted the current traffic."""
        planes = self.planes.observe()
        taken = planes.accepted and not planes.rejected
        return taken and self._current and self._ready().everything and self.up_to_date

    def _traffic_now(self) -> Traffic:
        """Return the traffic that the planes should have."""
        numbers = self._app_ports.numbers
        return self.traffic.now(self.release, self.observed, files=self._files, app_ports=numbers)

    def ready_services(self) -> frozenset[str]:
        """Return the services whose replicas are all ready and of the desired revision, with no step pending."""
        return self._ready().services if self._current else frozenset()

    def revisions(self) -> Mapping[str, str]:
        """Return the revision that the replicas of each service should have, as far as it is known."""
        desired = self.outcome.units.values() if self._current and self.outcome else ()
        return {unit.key: unit.revision for unit in (*self.planes.units(), *desired)}

    def _ready(self) -> Readiness:
        proxies, inputs = self.planes.units(), (self.release, self.outcome, self.observed)
        asleep = self.scaling.asleep
        release, outcome, observed = inputs
        make = functools.partial(
            Readiness, release=release, outcome=outcome, observed=observed, proxies=proxies, asleep=asleep
        )
        return self._readiness.of(make, same=inputs, equal=(proxies, asleep))

    def _pause(self) -> float:
        retries = [*self.fetches.retries_in(), *([PROGRESS_S] if self.fetches.progress else [])]
        dues = (self.desired.history.due_in(), self.saving.retry_in(), self.scaling.due_in())
        retries += [due for due in dues if due is not None]
        return max(0.1, min([RESYNC_S, *retries]))
