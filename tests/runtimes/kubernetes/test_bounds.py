"""What the runtime keeps, and what it asks for: nothing that it does not need."""

import gc
import weakref

import pytest

from bateau.domain.manifest import Manifest
from bateau.domain.object_state import ObjectState
from bateau.domain.unit import Objects, Unit
from bateau.runtimes.kubernetes.observing import Observer
from bateau.runtimes.kubernetes.wanted import Wanted
from bateau.runtimes.kubernetes.work import Work
from runtimes.kubernetes.rig import Bench, settled, unit, until

COUNT = 40


def _units(b: Bench, **changed: str) -> list[Unit]:
    names = [f"a{number}" for number in range(COUNT)]
    return [unit(name, b.config_map(name, a=changed.get(name, "1"))) for name in names]


async def test_trees_and_origins_are_not_kept(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        units = _units(b)
        body = units[0].body
        assert isinstance(body, Objects)
        kept: weakref.ref[Manifest] = weakref.ref(body.manifests[0])
        await settled(runtime, units)
        del units, body
        gc.collect()
        assert kept() is None


async def test_a_change_of_one_object_costs_one_request(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, _units(b))
        before = runtime.api.requests.sent
        await settled(runtime, _units(b, a7="2"))
        assert runtime.api.requests.sent - before == 1
        assert await b.data("a7") == {"a": "2"}


async def test_new_objects_cost_one_request_each_one_list_of_others_and_two_for_the_inventory(
    cluster_bench: Bench,
) -> None:
    """The list has the objects that belong to other environments."""
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, _units(b))
        before = runtime.api.requests.sent
        more = [unit(f"new-{each}", b.config_map(f"new-{each}")) for each in range(20)]
        await settled(runtime, [*_units(b), *more])
        assert runtime.api.requests.sent - before <= 20 + 1 + 2  # the list may be fresh


async def test_news_about_one_object_cost_work_for_that_object(
    cluster_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = cluster_bench
    judged: list[str] = []
    judge = Observer.state

    def state(self: Observer, work: Work, each: Wanted) -> ObjectState:
        judged.append(each.key[3])
        return judge(self, work, each)

    async with b.runtime() as runtime:
        await settled(runtime, _units(b))
        monkeypatch.setattr(Observer, "state", state)
        runtime.apply(_units(b, a7="2"))
        await until(runtime, lambda seen: not seen.moving)
        assert set(judged) == {"a7"}
