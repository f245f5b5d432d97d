"""A control plane with fakes around it: the test controls specs, fetches, replicas, traffic and the clock."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bateau.control.loop import Control
from bateau.control.outside import Ports
from bateau.control.reading import InProcess
from bateau.control.site import Site
from bateau.control.status import status
from bateau.domain.endpoint import Backend, Traffic
from bateau.domain.event import Event
from bateau.domain.inventory import Machine
from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import Replica
from bateau.domain.status import ServiceStatus, Status
from bateau.ports.events import Events
from bateau.ports.memory import Memory
from bateau.runtimes.local import LocalRuntime
from bateau.sources.spec_files import SpecFiles
from bateau.store.revisions import RevisionStore
from bateau.testing import FakeKeeper, FakeMemory, FakePlane, FakeSource, FakeTexts, ManualClock

WAIT_S = 10.0
PORT_FIRST = 30001
SOURCE = "hf://org/repo/chat.gguf"


def model(name: str = "chat", *, source: str = SOURCE, **spec: Any) -> str:
    """Return the document of a model."""
    return _document("Model", name, {"source": source, **spec})


def app(name: str = "shop", **spec: Any) -> str:
    """Return the document of an app with one http port."""
    defaults = {"command": [name, "--port", "${ ports.http }"], "ports": {"http": {"protocol": "http"}}}
    return _document("App", name, {**defaults, **spec})


def external(name: str = "big", **spec: Any) -> str:
    """Return the document of a model that is served elsewhere."""
    return model(name, source="https://api.example.com/v1", engine="external", **spec)


class _JournaledKeeper(FakeKeeper):
    def __init__(self, journal: list[str], **more: Any) -> None:
        super().__init__(**more)
        self._journal = journal
        self.hold = False  # whether new replicas stay Starting

    async def start(self, replica_id: str, service: str, template: ProcessTemplate) -> None:
        self._journal.append(f"start {replica_id}")
        self._auto_ready = not self.hold
        await super().start(replica_id, service, template)

    async def stop(self, replica_id: str) -> None:
        self._journal.append(f"stop {replica_id}")
        await super().stop(replica_id)


class _JournaledPlane(FakePlane):
    def __init__(self, journal: list[str], **more: Any) -> None:
        super().__init__(**more)
        self._journal = journal

    def publish(self, traffic: Traffic) -> None:
        endpoints = [endpoint for backend in traffic.backends for endpoint in backend.endpoints]
        words = [f"{each.replica}{' draining' if each.draining else ''}" for each in endpoints]
        self._journal.append(f"publish [{', '.join(words)}]")
        super().publish(traffic)


class World:
    """One control plane after another may live in it: `end` the one and `begin` the next."""

    files: SpecFiles | None = None

    def __init__(
        self,
        *,
        history: Path | None = None,
        memory: Memory | None = None,
        **texts: str,
    ) -> None:
        self.journal: list[str] = []
        self.clock = ManualClock(monotonic=100.0, wall=1_700_000_000.0)
        self.texts = FakeTexts(**texts)
        self.source = FakeSource(SOURCE)
        self.keeper = _JournaledKeeper(self.journal, clock=self.clock)
        self.plane = _JournaledPlane(self.journal, clock=self.clock)
        self.events: list[Event] = []
        self.sinks: list[Events] = [self]
        self.memory: Memory = memory or FakeMemory()
        self.secrets: dict[str, str] = {}
        self.memory_bytes = 16 * 2**30
        self.revisions = RevisionStore(history) if history else None
        self._ports_given = 0
        self._running: asyncio.Task[None] | None = None
        self.control = self._control()

    async def begin(self) -> None:
        """Start the control plane that there is now."""
        await self.control.adopt()
        self._running = asyncio.create_task(self.control.run())

    async def end(self) -> None:
        """Cancel the control plane. Its replicas continue to run."""
        if self._running:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def restart(self, *, environment: str | None = None) -> None:
        """End the control plane, and start another one, which knows only the stored state and the running replicas."""
        await self.renew(environment=environment)
        await self.begin()

    async def renew(self, *, environment: str | None = None) -> None:
        """Do the same, and do not start it yet."""
        await self.end()
        left = self.keeper.observe()
        self.keeper = _JournaledKeeper(self.journal, clock=self.clock, left_running=left)
        self.control = self._control(environment)

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wake the loop until `condition` is true, and return its value."""
        async with asyncio.timeout(WAIT_S):
            while not (value := condition()):
                await self.turn()
        return value

    async def turn(self) -> None:
        """Let one whole turn of the loop pass."""
        goal = self.control.counts.turns + 3  # the one that may be under way began before what the test has changed
        async with asyncio.timeout(WAIT_S):
            while self.control.counts.turns < goal:
                assert self._running
                assert not self._running.done(), self._running.exception()
                self.control.wake()
                await asyncio.sleep(0)

    async def turns(self, count: int = 3) -> None:
        """Let turns pass in which nothing should happen."""
        for _ in range(count):
            await self.turn()

    async def pass_time(self, seconds: float) -> None:
        """Turn the clock, and let the loop see it. What the planes answered before has been heard by then."""
        await self.turn()
        self.clock.advance(seconds)
        await self.turn()

    @property
    def status(self) -> Status:
        return status(self.control, instance="test", since=0.0)

    def service(self, key: str = "model/chat") -> ServiceStatus:
        return next(each for each in self.status.services if each.service == key)

    def replicas(self, key: str = "model/chat") -> Mapping[str, Replica]:
        return {replica.id: replica for replica in self.keeper.observe() if replica.service == key}

    def backend(self, key: str = "model/chat") -> Backend:
        return next(each for each in self.plane.traffic.backends if each.service == key)

    @property
    def draining(self) -> list[str]:
        """The replicas that get no new requests."""
        return [replica.id for replica in self.control.observed.replicas if replica.draining]

    def gateway(self) -> Mapping[str, Replica]:
        return self.replicas("gateway/envoy")

    def _control(self, environment: str | None = None) -> Control:
        runtime = LocalRuntime(self.keeper, self.clock)
        ports = Ports(
            site=Site(
                name="test",
                target="process",
                runtime=runtime,
                planes=(self.plane,),
                machine=lambda: Machine(cores=4, memory_bytes_total=self.memory_bytes),
                directory=Path("/srv/specs"),
            ),
            texts=self.files or self.texts,
            reader=InProcess(environment),
            source=self.source,
            memory=self.memory,
            clock=self.clock,
            numbers=self,
            secret=self.secrets.get,
            listen_url="http://127.0.0.1:8080",
            environment=environment,
            revisions=self.revisions,
            who="ada",
            events=self.sinks,
        )
        control = Control(ports)
        control.status = lambda: status(control, instance="test", since=0.0)
        return control

    def emit(self, event: Event) -> None:
        """Store the event."""
        self.events.append(event)

    def take(self, owner: str) -> int:
        """Hand out the next port, whoever asks."""
        del owner
        self._ports_given += 1
        return PORT_FIRST + self._ports_given - 1

    def keep(self, owner: str, number: int) -> None:
        """Nothing else hands out ports here."""


@contextlib.asynccontextmanager
async def world(
    *, history: Path | None = None, memory: Memory | None = None, **texts: str
) -> AsyncGenerator[World, None]:
    """Run a control plane for the length of a block; with `history` it keeps revisions in that file."""
    async with running(World(history=history, memory=memory, **texts)) as made:
        yield made


class WorldOfFiles(World):
    """A world whose specs are the files of a directory."""

    def __init__(self, directory: Path, *, history: Path) -> None:
        self.files = SpecFiles(directory, default={})
        super().__init__(history=history)


@contextlib.asynccontextmanager
async def running(made: World) -> AsyncGenerator[World, None]:
    """Run the control plane of a world for the length of a block."""
    await made.begin()
    try:
        await made.turn()
        yield made
    finally:
        await made.end()
        if made.revisions:
            made.revisions.close()


def _document(kind: str, name: str, spec: Mapping[str, Any]) -> str:
    tree = {"apiVersion": "bateau.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}
    return yaml.safe_dump(tree)
