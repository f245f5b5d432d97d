"""The loop of one owner: texts to units, and nothing in between that lasts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from bateau.control.declared import Declared
from bateau.control.reconciler import Reconciler
from bateau.domain.errors import ControlError
from bateau.domain.manifest import Manifest
from bateau.domain.unit import Objects, Unit
from bateau.domain.workload import ServiceKey
from bateau.testing import FakeRuntime, ManualClock


class Texts:
    """Texts that a test changes, or that cannot be read."""

    place = "test"
    commit_id = None

    def __init__(self) -> None:
        self.now: Mapping[str, str] | Exception = {"app/web": "1"}
        self.changed = asyncio.Event()

    def read(self) -> Mapping[str, str]:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    async def changes(self) -> AsyncIterator[None]:
        while True:
            await self.changed.wait()
            self.changed.clear()
            yield

    def become(self, now: Mapping[str, str] | Exception) -> None:
        self.now = now
        self.changed.set()


def unit(key: str, content: str) -> Unit:
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"content": content}}
    manifest = Manifest(service=key, target="kubernetes", tree=tree, origins={})
    return Unit(key=ServiceKey(key), target="kubernetes", body=Objects(manifests=(manifest,)))


async def declare(texts: Mapping[str, str]) -> Declared:
    """Declare a unit for each text; "wrong" refuses all, "refused" its own, and "bug" is one."""
    if "bug" in texts.values():
        raise RuntimeError("planted")
    if "wrong" in texts.values():
        return Declared(wrong="an error")
    refused = {key: "refused" for key, text in texts.items() if text == "refused"}
    return Declared(units=tuple(unit(k, t) for k, t in texts.items() if k not in refused), refused=refused)


class Rig:
    """A reconciler over fakes."""

    def __init__(self) -> None:
        self.texts = Texts()
        self.runtime = FakeRuntime()
        self.news = asyncio.Event()
        self.reconciler = Reconciler(
            name="test",
            texts=self.texts,
            declare=declare,
            runtime=self.runtime,
            clock=ManualClock(),
            changed=self.news.set,
        )

    async def until(self, done: object) -> None:
        assert callable(done)
        async with asyncio.timeout(10):
            while not done():
                self.news.clear()
                await self.news.wait()

    @property
    def runs(self) -> set[str]:
        return {each.service for each in self.runtime.observe().replicas}


@asynccontextmanager
async def running() -> AsyncGenerator[Rig]:
    rig = Rig()
    task = asyncio.create_task(rig.reconciler.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_changed_texts_become_units():
    async with running() as rig:
        await rig.until(lambda: rig.runs == {"app/web"})
        rig.texts.become({"app/web": "1", "app/cart": "1"})
        await rig.until(lambda: rig.runs == {"app/web", "app/cart"})
        assert rig.reconciler.taken == rig.texts.now


async def test_texts_that_cannot_be_read_change_nothing():
    async with running() as rig:
        await rig.until(lambda: rig.runs == {"app/web"})
        rig.texts.become(ControlError("the cluster is away", hint="wait"))
        await rig.until(lambda: rig.reconciler.trouble == "the cluster is away (wait)")
        assert rig.runs == {"app/web"}


async def test_texts_that_must_not_be_applied_change_nothing():
    async with running() as rig:
        await rig.until(lambda: rig.runs == {"app/web"})
        rig.texts.become({"app/web": "wrong"})
        await rig.until(lambda: rig.reconciler.declared == Declared(wrong="an error"))
        assert rig.runs == {"app/web"}


async def test_a_refused_document_keeps_its_objects():
    async with running() as rig:
        await rig.until(lambda: rig.runs == {"app/web"})
        rig.texts.become({"app/web": "refused", "app/cart": "1"})
        await rig.until(lambda: rig.runs == {"app/web", "app/cart"})
        rig.texts.become({"app/cart": "1"})
        await rig.until(lambda: rig.runs == {"app/cart"})


async def test_a_bug_is_reported_and_tried_again():
    async with running() as rig:
        await rig.until(lambda: rig.runs == {"app/web"})
        rig.texts.become({"app/web": "bug"})
        await rig.until(lambda: "planted" in (rig.reconciler.trouble or ""))
        rig.texts.become({"app/web": "1", "app/cart": "1"})
        await rig.until(lambda: rig.runs == {"app/web", "app/cart"})
        assert rig.reconciler.trouble is None
