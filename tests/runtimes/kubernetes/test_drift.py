"""A field that somebody else changes is seen with its new holder, and repaired or reported as configured."""

import asyncio
from pathlib import Path

from cluster.kubectl import Kubectl
from runtimes.kubernetes.rig import DEPLOYMENTS, Bench, eventually, settled, state_of, unit, until


def _replicas(kubeconfig: Path, b: Bench) -> object:
    return Kubectl(kubeconfig, b.namespace).get("deployment", "shop")["spec"]["replicas"]


async def _edited(b: Bench) -> None:
    kubectl = Kubectl(b.kubeconfig, b.namespace)
    await asyncio.to_thread(kubectl, "scale", "deployment/shop", "--replicas=1")


async def test_drift_is_repaired(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.deployment("shop"))])
        await _edited(b)

        async def is_repaired() -> bool:
            return await asyncio.to_thread(_replicas, b.kubeconfig, b) == 0

        await eventually(is_repaired)


async def test_drift_is_reported_with_the_manager_that_holds_the_field(cluster_bench: Bench) -> None:
    b = cluster_bench
    async with b.runtime(drift="report") as runtime:
        await settled(runtime, [unit("shop", b.deployment("shop"))])
        await _edited(b)
        seen = await until(runtime, lambda seen: any(each.drift for each in seen.objects))
        assert state_of(seen, "shop").drift == (("spec.replicas", "kubectl"),)
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(_replicas, b.kubeconfig, b) == 1


async def test_a_field_that_others_held_first_is_never_taken(cluster_bench: Bench) -> None:
    b = cluster_bench
    await b.api.create(DEPLOYMENTS, b.deployment("shop", replicas=0))
    await _edited(b)
    async with b.runtime() as runtime:
        runtime.apply([unit("shop", b.deployment("shop", replicas=0))])
        seen = await until(runtime, lambda seen: bool(seen.failures))
        assert "kubectl" in seen.failures["app/shop"]
        assert ".spec.replicas" in seen.failures["app/shop"]
        assert await asyncio.to_thread(_replicas, b.kubeconfig, b) == 1


async def test_a_field_is_taken_when_the_person_asks_for_it(cluster_bench: Bench) -> None:
    b = cluster_bench
    await b.api.create(DEPLOYMENTS, b.deployment("shop", replicas=0))
    await _edited(b)
    async with b.runtime(force=True) as runtime:
        await settled(runtime, [unit("shop", b.deployment("shop", replicas=0))])
        assert await asyncio.to_thread(_replicas, b.kubeconfig, b) == 0
