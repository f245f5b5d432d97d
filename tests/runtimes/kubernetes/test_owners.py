"""Two environments in one namespace: each keeps its own objects, and neither changes those of the other one."""

import asyncio

import pytest

from bateau.domain.unit import Unit
from bateau.kit.backoff import Backoff
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import ApiServer, KubernetesRuntime, access_of, work
from runtimes.kubernetes.rig import NAMESPACES, Bench, SystemClock, settled, state_of, unit, until


@pytest.mark.parametrize("force", [False, True])
async def test_an_object_of_another_owner_is_left_to_it_unless_a_person_forces_it(
    cluster_bench: Bench, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    monkeypatch.setattr(work, "RETRY", Backoff(initial_s=0.2, ceiling_s=0.5))
    b = cluster_bench
    theirs = unit("shop", b.config_map("shop", a="theirs"), b.config_map("only-theirs"))
    units = [unit("shop", b.config_map("shop", a="mine")), unit("mine", b.config_map("mine"))]
    async with b.runtime() as first:
        await settled(first, [theirs])
        second = KubernetesRuntime(
            ApiServer(access_of([b.kubeconfig])), SystemClock(), owner="second", namespace=b.namespace, force=force
        )
        await second.adopt()
        try:
            if force:
                await settled(second, units)
                seen = await until(first, lambda seen: bool(seen.failures))
                assert "it belongs to second (label bateau.dev/owner)" in seen.failures["app/shop"]
                assert await b.data("shop") == {"a": "mine"}
                return
            second.apply(units)
            seen = await until(second, lambda seen: bool(seen.failures) and "app/mine" not in seen.moving)
            assert f"it belongs to {b.namespace} (label bateau.dev/owner)" in seen.failures["app/shop"]
            assert state_of(seen, "mine").phase == "current"
            before = first.api.requests.sent
            await asyncio.sleep(0.5)
            assert first.api.requests.sent == before, "the two do not change it in turn"
            assert await b.data("shop") == {"a": "theirs"}
            # The other one gives it up.
            await settled(first, [unit("shop", b.config_map("only-theirs"))])
            await until(second, lambda seen: not seen.failures and not seen.moving)
            assert await b.data("shop") == {"a": "mine"}
        finally:
            await second.close()
        await settled(first, [])
        assert await b.data("shop") == {"a": "mine"}


async def test_a_namespace_that_two_owners_want_in_the_same_way_serves_both(cluster_bench: Bench) -> None:
    b = cluster_bench

    def units(team: str) -> list[Unit]:
        metadata: JsonObject = {"name": f"{b.namespace}-shared", "labels": {"team": team}}
        return [unit("shop", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})]

    second = KubernetesRuntime(
        ApiServer(access_of([b.kubeconfig])), SystemClock(), owner="second", namespace=b.namespace
    )
    async with b.runtime() as first:
        await settled(first, units("shop"))
        await second.adopt()
        try:
            await settled(second, units("shop"))
            assert first.observe().moving == set()
            second.apply(units("cart"))
            seen = await until(second, lambda seen: bool(seen.failures))
            assert f"it belongs to {b.namespace}" in seen.failures["app/shop"]
        finally:
            await second.close()
    found = await b.api.get(NAMESPACES, "", f"{b.namespace}-shared")
    assert text_at(found, "metadata", "labels", "team") == "shop"
    await b.api.delete(NAMESPACES, "", f"{b.namespace}-shared", uid=text_at(found, "metadata", "uid"))
