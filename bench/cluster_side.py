"""The runtime of clusters in a process of its own, so that its time, CPU and memory are its own.

Called by bench.kubernetes: `python -m bench.cluster_side apply|rest KUBECONFIG NAMESPACE FILE`. Prints JSON.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from bateau.domain.manifest import Manifest
from bateau.domain.unit import Objects, Unit
from bateau.domain.workload import ServiceKey
from bateau.runtimes.kubernetes import ApiServer, KubernetesRuntime, access_of
from bateau.runtimes.kubernetes.inventory import Inventory, Listed
from bateau.runtimes.kubernetes.live import Key
from bateau.wiring.this_process import SystemClock

WINDOWS = 3
WINDOW_S = 15.0
CHANGES = 200


def main() -> None:
    """Do one of the two, and print what it took."""
    act, kubeconfig, namespace, file = sys.argv[1:5]
    trees = trees_of(file)
    made = _apply(kubeconfig, namespace, trees) if act == "apply" else _rest(kubeconfig, namespace, file)
    print(json.dumps(asyncio.run(made)))


def trees_of(file: str) -> list[dict[str, Any]]:
    """Return the objects of a List."""
    return json.loads(Path(file).read_bytes())["items"]


def unit(tree: dict[str, Any]) -> Unit:
    """Return a unit of one object."""
    key = ServiceKey.of("App", str(tree["metadata"]["name"]))
    manifest = Manifest(service=key, target="kubernetes", tree=tree, origins={})
    return Unit(key=key, target="kubernetes", body=Objects(manifests=(manifest,)))


def _runtime(kubeconfig: str, namespace: str) -> KubernetesRuntime:
    api = ApiServer(access_of([Path(kubeconfig)]))
    return KubernetesRuntime(api, SystemClock(), owner=namespace, namespace=namespace)


async def _settled(runtime: KubernetesRuntime, units: Sequence[Unit], changed: asyncio.Event) -> None:
    """Apply, and return when the watches have told that everything is as it should be."""
    runtime.apply(units)
    while True:
        changed.clear()
        seen = runtime.observe()
        assert not seen.failures, next(iter(seen.failures.values()))
        if not seen.moving and seen.unknown is None:
            return
        await changed.wait()


async def _apply(kubeconfig: str, namespace: str, trees: Sequence[dict[str, Any]]) -> dict[str, float]:
    runtime, changed = _runtime(kubeconfig, namespace), asyncio.Event()
    runtime.on_change(changed.set)
    await runtime.adopt()
    runtime.apply([unit(tree) for tree in trees])
    while any(each.phase in ("waiting", "refused") for each in runtime.observe().objects):
        changed.clear()
        await changed.wait()
    # The health of the objects is not waited for; the list of them is saved last.
    inventory: Mapping[Key, Listed] = {}
    while not inventory or not all(each.uid for each in inventory.values()):
        await asyncio.sleep(0.05)
        inventory = await Inventory(runtime.api, owner=namespace, namespace=namespace).read()
    sent = runtime.api.requests.sent
    await runtime.close()
    return {"requests": sent}


async def _rest(kubeconfig: str, namespace: str, file: str) -> dict[str, Any]:
    trees = trees_of(file)
    runtime, changed = _runtime(kubeconfig, namespace), asyncio.Event()
    runtime.on_change(changed.set)
    await runtime.adopt()
    started = time.perf_counter()
    await _settled(runtime, [unit(tree) for tree in trees], changed)
    applied_s = time.perf_counter() - started
    again = [json.dumps(tree) for tree in trees[:CHANGES]]
    others = [unit(tree) for tree in trees[CHANGES:]]
    revisions = [each.revision for each in others]
    trees.clear()
    others.clear()
    gc.collect()
    own = psutil.Process()
    shares: list[float] = []
    sizes: list[float] = []
    for _ in range(WINDOWS):
        before = sum(own.cpu_times()[:2])
        await asyncio.sleep(WINDOW_S)
        shares.append(100 * (sum(own.cpu_times()[:2]) - before) / WINDOW_S)
        sizes.append(own.memory_info().rss / 1e6)
    others = [unit(tree) for tree in trees_of(file)[CHANGES:]]
    assert [each.revision for each in others] == revisions
    units = [*(unit(json.loads(each)) for each in again), *others]
    await _settled(runtime, units, changed)
    took_ms: list[float] = []
    sent = runtime.api.requests.sent
    for number, text in enumerate(again):
        tree = json.loads(text)
        tree["metadata"]["annotations"] = {"changed": "yes"}
        units[number] = unit(tree)
        started = time.perf_counter()
        await _settled(runtime, list(units), changed)
        took_ms.append(1000 * (time.perf_counter() - started))
    requests = (runtime.api.requests.sent - sent) / CHANGES
    await runtime.close()
    return {"applied_s": applied_s, "cpu": shares, "mb": sizes, "change_ms": took_ms, "requests": requests}


if __name__ == "__main__":
    main()
