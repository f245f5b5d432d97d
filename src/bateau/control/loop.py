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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from bateau.control.app_ports import AppPorts
from bateau.control.drains import Drains
from bateau.control.endpoints import endpoints
from bateau.control.fetches import Fetches
from bateau.control.history import History
from bateau.control.path import (
    GATEWAY,
    Outcome,
    World,
    Written,
    key_variable,
    models_needed,
    runs_here,
    understand,
    walk,
)
from bateau.control.preview import Preview, preview
from bateau.control.rollback import Rollbacks, RolledBack
from bateau.domain.endpoint import Traffic
from bateau.domain.errors import BateauError, ControlError
from bateau.domain.machine import Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.plan import Draining, Step
from bateau.domain.release import Release
from bateau.domain.replica import ReplicaState
from bateau.ports.clock import Clock
from bateau.ports.engine import Engine
from bateau.ports.memory import Memory
from bateau.ports.plane import Plane
from bateau.ports.revisions import Revisions
from bateau.ports.source import Source
from bateau.ports.templates import Templates
from bateau.ports.texts import Texts

logger = logging.getLogger(__name__)

RESYNC_S = 60.0
DRAIN_POLL_S = 0.5
RETRY_START_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything outside that the loop works with."""

    texts: Texts
    source: Source
    engine: Engine
    templates: Templates
    plane: Plane
    memory: Memory
    clock: Clock
    machine: Callable[[], Machine]
    free_port: Callable[[], int]
    secret: Callable[[str], str | None]
    listen_url: str
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    revisions: Revisions | None = None
    who: str = "unknown"


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
        self._texts_changed = True
        self._texts: Mapping[str, str] = {}
        self.written: Written | None = None
        self.release = Release()
        self.outcome: Outcome | None = None
        self.trouble: str | None = None
        self.turns = 0
        self._fetches = Fetches(ports.source, ports.clock, self.wake)
        self._history = History(ports.revisions, ports.clock, who=ports.who)
        self._rollbacks = Rollbacks(ports.revisions, self._understood)
        self._good: Written | None = None  # what was written last without mistakes
        self._good_texts: Mapping[str, str] = {}
        self._walked = False  # whether `outcome` is of the release that there is now
        self._drains = Drains(ports.clock)
        self._failed: dict[str, _Failed] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._app_ports = AppPorts(ports.memory, ports.free_port)
        self._published: Traffic | None = None
        self._read_at = ports.clock.monotonic()

    def wake(self) -> None:
        """Have the loop look again soon."""
        self._wake.set()

    async def adopt(self) -> None:
        """Take up what an earlier control plane knew and left running. Comes before `run`."""
        self._remember()
        self._ports.engine.on_change(self.wake)
        await self._ports.engine.adopt()

    async def run(self) -> None:
        """Keep closing the gap until cancelled. What runs goes on running then."""
        watcher = asyncio.create_task(self._watch())
        try:
            while True:
                self._wake.clear()
                try:
                    pause = await self._turn()
                except BateauError as error:
                    self.trouble = error.message
                    pause = RETRY_START_S
                    logger.error("%s%s", error.message, f" ({error.hint})" if error.hint else "")
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
        replicas = list(self._ports.engine.observe())
        for first in (True, False):
            chosen = [r for r in replicas if (r.service == GATEWAY) is first]
            await asyncio.gather(*(self._ports.engine.stop(replica.id) for replica in chosen))
        # What comes next begins anew; only the ports of apps stay theirs, and what was rolled back does not come back.
        remembered = self._ports.memory.load()
        self._ports.memory.save({key: value for key, value in remembered.items() if key != "texts"})

    @property
    def draining(self) -> Mapping[str, Draining]:
        """Replicas that get no new requests, and how far they are."""
        return self._drains.now

    @property
    def fetches(self) -> Fetches:
        """The models that are being fetched."""
        return self._fetches

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
        return self._addresses(self.release)

    def _addresses(self, release: Release) -> Mapping[str, str]:
        return self._app_ports.addresses(release, models=f"{self._ports.listen_url}/v1")

    async def _watch(self) -> None:
        async for _ in self._ports.texts.changes():
            self._texts_changed = True
            self.wake()

    async def _turn(self) -> float:
        """Do what can be done now; return how long nothing need be done unless woken, in seconds."""
        # A sign of a change may have been lost: what is written is looked at now and then without one.
        due = self._ports.clock.monotonic() - self._read_at >= RESYNC_S
        trouble = self._read() if self._texts_changed or due else None
        self._app_ports.hand_out(self.release)
        files = self._fetches.follow(models_needed(self.release))
        await self._drains.measure((r.id for r in self._ports.engine.observe()), self._ports.plane)
        outcome = self.outcome = walk(self.release, self._world(self.release, files), self._ports.templates)
        self._walked = True
        self._drains.follow(outcome.plan.steps)
        await self._publish()
        for step in outcome.plan.steps:
            if step.act == "start":
                await self._start(step, outcome)
            elif step.act == "stop" and step.replica not in self._stopping:
                self._stopping[step.replica] = asyncio.create_task(self._stop(step))
        if self.rolled_out:
            self._history.note_ready()
        self.trouble = trouble
        return min(self._pause(), RETRY_START_S) if trouble else self._pause()

    def _world(self, release: Release, files: Mapping[str, ModelFile]) -> World:
        return World(
            machine=self._ports.machine(),
            files=files,
            observed=self._ports.engine.observe(),
            draining=self.draining,
            addresses=self._addresses(release),
            gateway=self._ports.plane.template(),
        )

    def preview(self, texts: Mapping[str, str]) -> Preview:
        """Return what other texts would do to what runs. Nothing moves, and nothing is fetched."""
        written = self._understood(texts)
        desired = self._rollbacks.held(written.release)
        files = self._fetches.here(models_needed(desired))
        planned = walk(desired, self._world(desired, files), self._ports.templates)
        return preview(written, desired, self.release, planned=planned, now=self.outcome)

    def _read(self) -> str | None:
        """Take up what is written now. Returns why that cannot be; it is tried again, and what runs is looked after."""
        self._read_at = self._ports.clock.monotonic()
        try:
            self._understand(self._ports.texts.read())
        except BateauError as error:
            if error.message != self.trouble:
                logger.error("%s%s", error.message, f" ({error.hint})" if error.hint else "")
            return error.message
        self._texts_changed = False
        return None

    def _understand(self, texts: Mapping[str, str]) -> None:
        if texts == self._texts and self.written is not None:
            return
        self._texts = texts
        self.written = self._understood(texts)
        if self.written.wrong:
            return  # what runs goes on as it was
        self._good, self._good_texts = self.written, texts
        self._take_up()

    def _take_up(self, says: str | None = None) -> None:
        """Make what is written, with what a rollback holds, what shall run."""
        if self._good is None:
            return
        self._rollbacks.end_for(self._good.release)
        self.release = self._rollbacks.held(self._good.release)
        self._failed.clear()
        self._fetches.forget_failures()
        self._walked = False
        commit, pins = self._ports.texts.commit_id, self._rollbacks.pins
        self._history.take(self.release, self._good_texts, commit=commit, pins=pins, says=says)
        kept = {"texts": dict(self._good_texts), "rollbacks": self._rollbacks.remembered()}
        self._ports.memory.save({**self._ports.memory.load(), **kept})

    def rollback(self, service: str, *, to: int | None = None) -> RolledBack:
        """Hold a service at revision `to`, or at the last healthy one in which it was another. Raises ControlError.

        It lasts until something else is written for the service.
        """
        if self._good is None:
            raise ControlError("nothing runs yet that could be rolled back")
        made = self._rollbacks.back(service, self._good.release, self.release, to=to)
        says = f"{made.before.key} goes back to revision {made.revision.id}, as {self._ports.who} asked"
        self._history.note_rolled_back(self.release.environment, says)
        logger.info("%s", says)
        self._take_up(says)
        self.wake()
        return made

    @property
    def held(self) -> Mapping[str, int]:
        """The services that a rollback holds, with the revision that each is taken from."""
        return self._rollbacks.pins

    def _understood(self, texts: Mapping[str, str]) -> Written:
        today = datetime.fromtimestamp(self._ports.clock.wall(), tz=UTC).date()
        return understand(texts, self._ports.environment, self._ports.variables, today=today)

    def _remember(self) -> None:
        """Take up what the last control plane knew, so that a mistake made since does not undo what runs."""
        remembered = self._ports.memory.load()
        self._rollbacks.remember(remembered.get("rollbacks"))
        texts: Any = remembered.get("texts")
        if isinstance(texts, dict):
            known = {str(name): str(text) for name, text in cast("dict[str, Any]", texts).items()}
            last_good = self._understood(known)
            if not last_good.wrong:
                self._good, self._good_texts = last_good, known
                self.release = self._rollbacks.held(last_good.release)
        self._app_ports.remember()

    @property
    def up_to_date(self) -> bool:
        """Whether the gateway has been told of everything that is so now."""
        return self._traffic() == self._published

    @property
    def rolled_out(self) -> bool:
        """Whether what is written was taken up, without mistakes, and every replica of it is ready."""
        understood = self.written is not None and not self.written.wrong
        return understood and not self._texts_changed and self._walked and self._everything_ready(self.outcome)

    def look_again(self) -> None:
        """Have the loop read what is written, now."""
        self._texts_changed = True
        self.wake()

    def _traffic(self) -> Traffic:
        return endpoints(
            self.release,
            self._ports.engine.observe(),
            draining=self.draining.keys(),
            app_ports=self._app_ports.numbers,
            api_keys=self._api_keys(),
            before=self._published or Traffic(),
        )

    async def _publish(self) -> None:
        traffic = self._traffic()
        if self._ports.plane.rejected() or traffic != self._published:
            await self._ports.plane.publish(traffic)
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
            await self._ports.engine.start(step.replica, step.service, template)
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
            await self._ports.engine.stop(step.replica)
        except BateauError as error:
            logger.error("%s cannot be stopped: %s", step.replica, error.message)
        finally:
            self._stopping.pop(step.replica, None)
            self.wake()

    def _everything_ready(self, outcome: Outcome | None) -> bool:
        """Whether every service has all its replicas, ready and of its revision, and nothing is left to do."""
        if outcome is None:
            return False
        ready = Counter(
            (replica.service, replica.revision)
            for replica in self._ports.engine.observe()
            if replica.state is ReplicaState.READY
        )
        wanted = [service for service in self.release.services if runs_here(service)]
        return not outcome.plan.steps and all(
            service.key in outcome.templates
            and ready[service.key, outcome.templates[service.key].revision] >= service.spec.replicas
            for service in wanted
        )

    def _pause(self) -> float:
        if self.draining:
            return DRAIN_POLL_S
        now = self._ports.clock.monotonic()
        retries = [failed.retry_at - now for failed in self._failed.values()]
        retries += self._fetches.retries_in()
        if self._ports.plane.rejected():
            retries.append(RETRY_START_S)
        return max(0.1, min([RESYNC_S, *retries]))
