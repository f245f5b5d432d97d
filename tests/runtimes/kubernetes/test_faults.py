"""Bad days of a cluster, at the real API server: refusals, ends that do not come, kinds that come and go."""

from bateau.kit.json_value import JsonObject
from runtimes.kubernetes.rig import CONFIG_MAPS, Bench, eventually, settled, state_of, unit, until

_MERGE = "application/merge-patch+json"


async def _finalizers(b: Bench, name: str, *names: str) -> None:
    body: JsonObject = {"metadata": {"finalizers": [*names]}}
    await b.api.requests.json("PATCH", CONFIG_MAPS.path(b.namespace, name), body=body, form=_MERGE)


async def test_an_object_whose_finalizer_does_not_end_is_reported_and_still_known_after_a_restart(
    cluster_bench: Bench,
) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.config_map("shop")), unit("cart", b.config_map("cart"))])
        await _finalizers(b, "cart", "example.org/never")
        seen = runtime.observe()
        runtime.apply([unit("shop", b.config_map("shop"))])
        seen = await until(runtime, lambda seen: any(each.phase == "terminating" for each in seen.objects if each.says))
        assert state_of(seen, "cart").says == "waits for finalizer example.org/never"
        assert seen.moving == {"app/cart"}
        assert "app/shop" not in seen.failures
        before = runtime.api.requests.sent
        await until(runtime, lambda seen: not seen.failures)
        assert runtime.api.requests.sent - before <= 1, "waiting is no work"
    async with b.runtime() as runtime:
        runtime.apply([unit("shop", b.config_map("shop"))])
        seen = await until(runtime, lambda seen: any(each.phase == "terminating" for each in seen.objects if each.says))
        await _finalizers(b, "cart")
        await until(runtime, lambda seen: not seen.moving and not any(each.key[3] == "cart" for each in seen.objects))

        async def is_gone() -> bool:
            return await b.data("cart") is None

        await eventually(is_gone)
