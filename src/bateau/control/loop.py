"""The one loop: look at what is written and what runs, and close the gap.

Called by wiring, which gives it its ports; the faces ask it for `status` and to `stop_all`.

Invariant: level-triggered. A turn starts from what is there now; a wake-up says only that something may differ.
Invariant: the gateway is told of a change before a replica is stopped for it, and before its socket first opens.
Invariant: an exception in one service's steps ends that step and no other; the loop goes on.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bateau.control.app_ports import AppPorts
from bateau.control.desired import DesiredState
from bateau.control.drains import Drains
from bateau.control.endpoints import endpoints
from bateau.control.fetches import Fetches
from bateau.control.outside import Ports
from bateau.control.path import (
    GATEWAY,
    Outcome,
    World,
    key_variable,
    models_needed,
    runs_here,
    walk,
)
from bateau.control.preview import Preview, preview
from bateau.control.rollback import RolledBack
from bateau.domain.endpoint import Traffic
from bateau.domain.errors import BateauError
from bateau.domain.model_file import ModelFile, ModelTask
from bateau.domain.plan import Draining, Step
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.unit import Whereabouts
from bateau.domain.workload import Workload
from bateau.render import TARGETS

logger = logging.getLogger(__name__)

RESYNC_S = 60.0
DRAIN_POLL_S = 0.5
RETRY_START_S = 10.0


@dataclass
class _Failed:
    """A start that failed, of one revision; it is tried again at `retry_at` (monotonic seconds)."""

    revision: str
    says: str
    retry_at: float


class Control:
    """The control plane of one machine."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._wake = asyncio.Event()
        self.desired = DesiredState(ports, self._begin_anew)
        self.outcome: Outcome | None = None
        self.trouble: str | None = None
        self.turns = 0
        self._fetches = Fetches(ports.source, ports.clock, self.wake)
        self._walked = False  # whether `outcome` is of the release that there is now
        self._drains = Drains(ports.clock)
        self._failed: dict[str, _Failed] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._app_ports = AppPorts(ports.memory, ports.free_port)
        self._published: Traffic | None = None
        self._tasks: Mapping[str, ModelTask] = {}

    def wake(self) -> None:
        """Have the loop look again soon."""
        self._wake.set()

    async def adopt(self) -> None:
        """Take up what an earlier control plane knew and left running. Comes before `run`."""
        self.desired.remember()
        self._app_ports.remember()
        self._ports.runtime.on_change(self.wake)
        self._ports.plane.on_change(self.wake)
        await self._ports.runtime.adopt()

    async def run(self) -> None:
        """Keep closing the gap until cancelled. What runs goes on running then."""
        watcher = asyncio.create_task(self._watch())
        try:
            while True:
                self._wake.clear()
                try:
                    pause = await self._turn()
                except BateauError as error:
                    self._tell(error)
                    pause = RETRY_START_S
                except Exception as error:  # noqa: BLE001 - a bug in one turn must not end what looks after the others
                    self._tell_bug(error)
                    pause = RETRY_START_S
                self.turns += 1
                # Not wait_for: Python 3.11's swallows a cancellation that comes together with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            watcher.cancel()
            await self._fetches.close()
            for task in self._stopping.values():
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    async def stop_all(self) -> None:
        """Stop every replica, the gateway first so that no request meets a replica that is gone."""
        replicas = list(self._ports.runtime.observe())
        for first in (True, False):
            chosen = [r for r in replicas if (r.service == GATEWAY) is first]
            await asyncio.gather(*(self._ports.runtime.stop(replica.id) for replica in chosen))
        self.desired.forget()

    @property
    def release(self) -> Release:
        """What shall run."""
        return self.desired.release

    @property
    def left_alone(self) -> bool:
        """Whether something runs of which nothing that can be read says whether it shall: it stays as it is."""
        replicas = self._ports.runtime.observe()
        return not self.desired.known and any(replica.service != GATEWAY for replica in replicas)

    @property
    def draining(self) -> Mapping[str, Draining]:
        """Replicas that get no new requests, and how far they are."""
        return self._drains.now

    @property
    def fetches(self) -> Fetches:
        """The models that are being fetched."""
        return self._fetches

    @property
    def tasks(self) -> Mapping[str, ModelTask]:
        """What the models do, by service key, as far as their files are known."""
        return self._tasks

    @property
    def ports(self) -> Ports:
        """What this control plane works with."""
        return self._ports

    def failure(self, service: str) -> str | None:
        """Return why the last start of a service failed, or None."""
        failed = self._failed.get(service)
        return failed.says if failed else None

    def addresses(self) -> Mapping[str, str]:
        """Return the URL that users of each service call."""
        target, where = TARGETS["process"], self._whereabouts()
        made = {service.key: target.address(service, where) for service in self.release.services}
        return {key: address.url for key, address in made.items() if address}

    def _whereabouts(self) -> Whereabouts:
        return self._app_ports.whereabouts(f"{self._ports.listen_url}/v1")

    async def _watch(self) -> None:
        while True:
            try:
                async for _ in self._ports.texts.changes():
                    self.look_again()
            except Exception as error:  # noqa: BLE001 - as for a turn: what is followed goes on being followed
                self._tell_bug(error)
            await asyncio.sleep(RETRY_START_S)

    async def _turn(self) -> float:
        """Do what can be done now; return how long nothing need be done unless woken, in seconds."""
        # A sign of a change may have been lost: what is written is looked at now and then without one.
        due = self._ports.clock.monotonic() - self.desired.read_at >= RESYNC_S
        trouble = self._read() if self.desired.stale or due else None
        if self.left_alone:
            self.trouble = trouble
            return RETRY_START_S
        self._app_ports.hand_out(self.release)
        models = models_needed(self.release)
        files = self._fetches.follow(models)
        # A file that is missing for a while changes no route of the replicas that run.
        tasks: dict[str, ModelTask] = {key: task for key, task in self._tasks.items() if key in models}
        tasks.update((key, file.header.task) for key, file in files.items())
        self._tasks = tasks
        failing = {r.service for r in self._ports.runtime.observe() if r.state is ReplicaState.BACKOFF}
        self._fetches.doubt(source for service, source in models.items() if service in failing)
        self._drains.measure((r.id for r in self._ports.runtime.observe()), self._ports.plane)
        outcome = self.outcome = walk(self.release, self._world(files))
        self._walked = True
        self._ports.runtime.supply(outcome.templates.values())
        self._drains.follow(outcome.plan.steps)
        self._publish()
        for step in outcome.plan.steps:
            if step.act == "start":
                await self._start(step, outcome)
            elif step.act == "stop" and step.replica not in self._stopping:
                self._stopping[step.replica] = asyncio.create_task(self._stop(step))
        self.desired.history.note(ready=self.rolled_out, restarted=any(r.restarts for r in self._ours()))
        self.trouble = trouble
        return min(self._pause(), RETRY_START_S) if trouble else self._pause()

    def _world(self, files: Mapping[str, ModelFile]) -> World:
        return World(
            machine=self._ports.machine(),
            files=files,
            observed=self._ports.runtime.observe(),
            draining=self.draining,
            directory=self._ports.directory,
            where=self._whereabouts(),
            gateway=self._ports.plane.template(),
        )

    def preview(self, texts: Mapping[str, str]) -> Preview:
        """Return what other texts would do to what runs. Nothing moves, and nothing is fetched."""
        written, desired = self.desired.instead(texts)
        files = self._fetches.here(models_needed(desired))
        planned = walk(desired, self._world(files))
        return preview(written, desired, self.release, planned=planned, now=self.outcome)

    def rollback(self, service: str, *, to: int | None = None) -> RolledBack:
        """Hold a service at revision `to`, or at the last healthy one in which it was another. Raises ControlError."""
        made = self.desired.rollback(service, to=to)
        self.wake()
        return made

    def look_again(self) -> None:
        """Have the loop read what is written, now."""
        self.desired.stale = True
        self.wake()

    def _read(self) -> str | None:
        """Take up what is written now. Returns why that cannot be; it is tried again, and what runs is looked after."""
        try:
            self.desired.read()
        except BateauError as error:
            return self._tell(error)
        return None

    def _begin_anew(self) -> None:
        """Forget what failed of the release before."""
        self._failed.clear()
        self._fetches.forget_failures()
        self._walked = False

    def _tell(self, error: BateauError) -> str:
        """Say once what is wrong with the world."""
        if error.message != self.trouble:
            logger.error("%s%s", error.message, f" ({error.hint})" if error.hint else "")
        self.trouble = error.message
        return error.message

    def _tell_bug(self, error: Exception) -> None:
        says = f"this is a bug in bateau: {type(error).__name__}: {error}; its log has more, and it is tried again"
        if says != self.trouble:
            logger.error("%s", says, exc_info=error)
        self.trouble = says

    @property
    def up_to_date(self) -> bool:
        """Whether everything that is so now is published, and a gateway that runs has accepted or rejected it."""
        running = any(r.service == GATEWAY and r.state is ReplicaState.READY for r in self._ports.runtime.observe())
        return self._traffic() == self._published and (not running or self._ports.plane.observe().accepted)

    @property
    def rolled_out(self) -> bool:
        """Whether every replica of what shall run is ready, and the gateway has taken that it is."""
        plane = self._ports.plane.observe()
        taken = plane.accepted and not plane.rejected
        return taken and self._walked and self._everything_ready() and self.up_to_date

    def _traffic(self) -> Traffic:
        return endpoints(
            self.release,
            self._ports.runtime.observe(),
            draining=self.draining.keys(),
            app_ports=self._app_ports.numbers,
            api_keys=self._api_keys(),
            tasks=self._tasks,
            before=self._published or Traffic(),
            gateway=GATEWAY,
        )

    def _publish(self) -> None:
        traffic = self._traffic()
        if traffic != self._published:
            self._ports.plane.publish(traffic)
            self._published = traffic

    def _api_keys(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for service in self.release.services:
            name = key_variable(service)
            if name and (key := self._ports.secret(name)):
                found[service.key] = key
        return found

    async def _start(self, step: Step, outcome: Outcome) -> None:
        template = outcome.templates[step.service]
        failed = self._failed.get(step.service)
        if failed and failed.revision == template.revision and failed.retry_at > self._ports.clock.monotonic():
            return
        try:
            await self._ports.runtime.start(step.replica, step.service, template)
            self._failed.pop(step.service, None)
            logger.info("%s starts: %s", step.replica, step.reason)
        except BateauError as error:
            says = f"{error.message} ({error.hint})" if error.hint else error.message
            logger.error("%s cannot start: %s", step.replica, says)
            retry_at = self._ports.clock.monotonic() + RETRY_START_S
            self._failed[step.service] = _Failed(revision=template.revision, says=says, retry_at=retry_at)

    async def _stop(self, step: Step) -> None:
        try:
            logger.info("%s stops: %s", step.replica, step.reason)
            await self._ports.runtime.stop(step.replica)
        except BateauError as error:
            logger.error("%s cannot be stopped: %s", step.replica, error.message)
        finally:
            self._stopping.pop(step.replica, None)
            self.wake()

    def ready_services(self) -> frozenset[str]:
        """Return the services all of whose replicas are ready, with nothing of theirs left to do."""
        if not self._walked or self.outcome is None:
            return frozenset()
        moving = {step.service for step in self.outcome.plan.steps}
        ready = self._ready_now()
        return frozenset(s.key for s in self.release.services if s.key not in moving and self._is_ready(s, ready))

    def _ready_now(self) -> Mapping[str, int]:
        """Return how many replicas of what shall run are ready, by service."""
        return Counter(replica.service for replica in self._ours() if replica.state is ReplicaState.READY)

    def _is_ready(self, service: Workload, ready: Mapping[str, int]) -> bool:
        if not runs_here(service):
            return True
        made = self.outcome is not None and service.key in self.outcome.templates
        return made and ready.get(service.key, 0) >= service.replicas

    def _everything_ready(self) -> bool:
        """Whether every service has all its replicas, ready and of its revision, and nothing is left to do."""
        if self.outcome is None:
            return False
        ready = self._ready_now()
        if GATEWAY in self.outcome.templates and not ready.get(GATEWAY):
            return False
        return not self.outcome.plan.steps and all(self._is_ready(service, ready) for service in self.release.services)

    def _ours(self) -> list[Replica]:
        """Return the replicas of the revisions that shall run."""
        made = self.outcome.templates.items() if self.outcome else ()
        wanted = {(key, template.revision) for key, template in made}
        return [replica for replica in self._ports.runtime.observe() if (replica.service, replica.revision) in wanted]

    def _pause(self) -> float:
        if self.draining:
            return DRAIN_POLL_S
        now = self._ports.clock.monotonic()
        retries = [failed.retry_at - now for failed in self._failed.values()]
        retries += self._fetches.retries_in()
        if (healthy_in := self.desired.history.healthy_in()) is not None:
            retries.append(healthy_in)
        return max(0.1, min([RESYNC_S, *retries]))
