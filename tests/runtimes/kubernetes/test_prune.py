"""What is no longer wanted goes; what Bateau did not make, and what may hold data, stays."""

import asyncio
import json

from bateau.kit.json_value import JsonObject
from bateau.runtimes.kubernetes.api import Resource
from bateau.runtimes.kubernetes.live import OWNER, SERVICE
from runtimes.kubernetes.rig import CONFIG_MAPS, Bench, eventually, settled, state_of, unit, until

_CLAIMS = Resource("/api/v1", "persistentvolumeclaims", namespaced=True)


async def test_what_is_no_longer_wanted_goes_also_after_a_restart(cluster_bench: Bench) -> None:
    b = cluster_bench
    shop, cart = unit("shop", b.config_map("shop"), b.config_map("shop-more")), unit("cart", b.config_map("cart"))
    async with b.runtime() as runtime:
        await settled(runtime, [shop, cart])
        await settled(runtime, [unit("shop", b.config_map("shop")), cart])
        await _gone(b, "shop-more")
    async with b.runtime() as runtime:
        await settled(runtime, [cart])
        await _gone(b, "shop")
        assert await b.api.get(CONFIG_MAPS, b.namespace, "cart") is not None


async def test_a_held_service_and_one_that_was_refused_keep_what_they_had(cluster_bench: Bench) -> None:
    b = cluster_bench
    shop, cart = unit("shop", b.config_map("shop")), unit("cart", b.config_map("cart"), b.config_map("cart-more"))
    async with b.runtime() as runtime:
        await settled(runtime, [shop, cart])
        broken = {**b.config_map("cart"), "dat": {}}
        runtime.apply([unit("cart", broken)], held={"app/shop"})
        await until(runtime, lambda seen: "app/cart" in seen.failures)
        await asyncio.sleep(0.5)
        for name in ("shop", "cart", "cart-more"):
            assert await b.api.get(CONFIG_MAPS, b.namespace, name) is not None, name


async def test_an_object_made_by_hand_with_our_labels_stays_and_is_reported(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.config_map("shop"))])
        copy = b.config_map("copy")
        copy["metadata"] = {
            "name": "copy",
            "namespace": b.namespace,
            "labels": {OWNER: b.namespace, SERVICE: "app.shop"},
        }
        await b.api.create(CONFIG_MAPS, copy)
        seen = await until(runtime, lambda seen: any(each.key[3] == "copy" for each in seen.objects))
        assert state_of(seen, "copy").phase == "left"
        assert "someone else has created it" in state_of(seen, "copy").says
        runtime.apply([])
        await _gone(b, "shop")
        await asyncio.sleep(0.5)
        assert await b.api.get(CONFIG_MAPS, b.namespace, "copy") is not None


async def test_an_object_that_existed_before_is_changed_and_never_removed(cluster_bench: Bench) -> None:
    b = cluster_bench
    await b.api.create(CONFIG_MAPS, b.config_map("before", theirs="1"))
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.config_map("before", a="1"), b.config_map("shop"))])
        assert await b.data("before") == {"theirs": "1", "a": "1"}
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.config_map("before", a="1"), b.config_map("shop"))])
        runtime.apply([])
        await _gone(b, "shop")
        await asyncio.sleep(0.5)
        assert await b.data("before") is not None


async def test_an_object_made_anew_by_somebody_else_stays(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.config_map("shop"))])
    found = await b.api.get(CONFIG_MAPS, b.namespace, "shop")
    assert found is not None
    await b.api.delete(CONFIG_MAPS, b.namespace, "shop", uid=_uid(found))
    await b.api.create(CONFIG_MAPS, b.config_map("shop", mine="1"))
    async with b.runtime() as runtime:
        runtime.apply([])
        seen = await until(runtime, lambda seen: any(each.phase == "left" for each in seen.objects))
        assert "someone else has recreated it" in state_of(seen, "shop").says
        assert await b.data("shop") == {"mine": "1"}


async def test_a_claim_for_storage_stays(cluster_bench: Bench) -> None:
    b = cluster_bench
    claim: JsonObject = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": b.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    async with b.runtime() as runtime:
        runtime.apply([unit("shop", claim, b.config_map("shop"))])
        await until(runtime, lambda seen: any(each.phase == "in progress" for each in seen.objects))
        runtime.apply([])
        seen = await until(runtime, lambda seen: any(each.phase == "left" for each in seen.objects))
        assert "may hold data" in state_of(seen, "data").says
        assert await b.api.get(_CLAIMS, b.namespace, "data") is not None


async def test_an_object_made_just_before_a_crash_is_known_afterwards(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.config_map("shop"))])
    # The state of a control plane that died between making the object and writing its uid down.
    inventory = await b.api.get(CONFIG_MAPS, b.namespace, f"bateau-inventory-{b.namespace}")
    assert inventory is not None
    data = inventory["data"]
    assert isinstance(data, dict)
    pending = [json.dumps([*json.loads(line)[:4], ""]) for line in str(data["objects"]).splitlines()]
    changed: JsonObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"bateau-inventory-{b.namespace}", "namespace": b.namespace},
        "data": {"format": "1", "objects": "\n".join(pending)},
    }
    await b.api.apply(CONFIG_MAPS, changed, force=True)
    async with b.runtime() as runtime:
        runtime.apply([])
        await _gone(b, "shop")


async def _gone(b: Bench, name: str) -> None:
    async def is_gone() -> bool:
        return await b.api.get(CONFIG_MAPS, b.namespace, name) is None

    await eventually(is_gone)


def _uid(tree: JsonObject) -> str:
    metadata = tree["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["uid"])
