"""Units become objects of a real API server, and stay what was asked."""

import asyncio

import pytest

from bateau.domain.unit import Unit
from bateau.runtimes.kubernetes.applying import Applier, Outcome
from bateau.runtimes.kubernetes.live import Live
from bateau.runtimes.kubernetes.wanted import Wanted
from runtimes.kubernetes.rig import CONFIG_MAPS, DEPLOYMENTS, Bench, eventually, settled, state_of, unit, until


async def test_units_are_applied_and_observed(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        seen = await settled(runtime, [unit("shop", b.config_map("shop", a="1"), b.deployment("shop"))])
        assert [each.phase for each in seen.objects] == ["current", "current"]
        assert await b.data("shop") == {"a": "1"}
        await settled(runtime, [unit("shop", b.config_map("shop", a="2"), b.deployment("shop"))])
        assert await b.data("shop") == {"a": "2"}


async def test_applying_the_same_again_sends_nothing(cluster_bench: Bench) -> None:
    b = cluster_bench
    units = [unit(f"a{number}", b.config_map(f"a{number}", a="1")) for number in range(5)]
    async with b.runtime() as runtime:
        await settled(runtime, units)
        await asyncio.sleep(1.0)  # the list of what was made is written last
        before = runtime.api.requests.sent
        for _ in range(5):
            await settled(runtime, units)
        await asyncio.sleep(0.5)
        assert runtime.api.requests.sent == before


async def test_a_restart_changes_nothing(cluster_bench: Bench) -> None:
    b = cluster_bench
    units = [unit("shop", b.config_map("shop", a="1"), b.deployment("shop"))]
    versions: list[object] = []
    for _ in range(2):
        async with b.runtime() as runtime:
            await settled(runtime, units)
        found = [await b.api.get(CONFIG_MAPS, b.namespace, "shop"), await b.api.get(DEPLOYMENTS, b.namespace, "shop")]
        versions.append([each and each["metadata"] for each in found])
    assert versions[0] == versions[1]


async def test_a_refused_object_concerns_its_own_unit(cluster_bench: Bench) -> None:
    b = cluster_bench
    broken = b.config_map("broken")
    broken["metadata"] = {"name": "Not_A_Name", "namespace": b.namespace}
    misspelt = {**b.config_map("misspelt"), "dat": {"a": "1"}}
    missing = {**b.config_map("thing"), "apiVersion": "example.org/v1", "kind": "Thing"}
    units = [
        unit("broken", broken),
        unit("misspelt", misspelt),
        unit("missing", missing),
        unit("shop", b.config_map("shop", a="1")),
    ]
    async with b.runtime() as runtime:
        runtime.apply(units)
        seen = await until(runtime, lambda seen: len(seen.failures) == 3 and "app/shop" not in seen.moving)
        assert "Not_A_Name" in seen.failures["app/broken"]
        assert ".dat" in seen.failures["app/misspelt"]
        assert "does not serve example.org/v1 Thing" in seen.failures["app/missing"]
        assert await b.data("shop") == {"a": "1"}
        # Mended: it is applied at once, without waiting for the back-off.
        seen = await settled(runtime, [unit("broken", b.config_map("broken", a="1")), units[3]])
        assert state_of(seen, "broken").phase == "current"


async def test_a_bug_in_one_unit_concerns_that_unit(cluster_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    b = cluster_bench
    apply = Applier.apply

    async def failing(self: Applier, wanted: Wanted, live: Live | None) -> Outcome:
        if wanted.key[3] == "broken":
            raise RuntimeError("planted")
        return await apply(self, wanted, live)

    monkeypatch.setattr(Applier, "apply", failing)
    units: list[Unit] = [unit("broken", b.config_map("broken")), unit("shop", b.config_map("shop", a="1"))]
    async with b.runtime() as runtime:
        runtime.apply(units)
        seen = await until(runtime, lambda seen: bool(seen.failures) and "app/shop" not in seen.moving)
        assert seen.failures == {"app/broken": "this is a bug in bateau: RuntimeError: planted"}


async def test_pods_are_replicas_with_the_reason_in_words(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        runtime.apply([unit("shop", b.deployment("shop", replicas=2))])
        seen = await until(runtime, lambda seen: len([each for each in seen.replicas if each.reason]) == 2)
        assert {each.service for each in seen.replicas} == {"app/shop"}
        assert "app/shop" in seen.moving
        # Without a node nothing is scheduled; with one, the image does not exist.
        assert all("not scheduled" in (r.reason or "") or "web" in (r.reason or "") for r in seen.replicas)
        assert len({each.revision for each in seen.replicas}) == 1


async def test_an_object_that_is_deleted_by_hand_comes_back(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.config_map("shop", a="1"))])
        found = await b.api.get(CONFIG_MAPS, b.namespace, "shop")
        assert found is not None
        metadata = found["metadata"]
        assert isinstance(metadata, dict)
        await b.api.delete(CONFIG_MAPS, b.namespace, "shop", uid=str(metadata["uid"]))
        await eventually(lambda: b.data("shop"))


async def test_a_cluster_that_is_away_is_unknown_and_its_last_state_stays(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.config_map("shop", a="1"))])
        access = runtime.api.requests.access
        object.__setattr__(access, "server", "https://127.0.0.1:9")
        runtime.apply([unit("shop", b.config_map("shop", a="2"))])
        seen = await until(runtime, lambda seen: seen.unknown is not None)
        assert "cannot reach" in (seen.unknown or "")
        assert [each.key[3] for each in seen.objects] == ["shop"]
