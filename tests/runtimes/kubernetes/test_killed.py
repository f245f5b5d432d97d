"""A control plane that dies at any of its requests: the next one reaches the same objects and touches no others."""

import asyncio
import random
from collections.abc import Mapping

from bateau.domain.manifest import Manifest
from bateau.domain.unit import Objects, Unit
from bateau.kit.json_value import Json, JsonObject, array_at, text_at
from bateau.runtimes.kubernetes import Access, ApiServer, KubernetesRuntime, access_of
from bateau.runtimes.kubernetes.inventory import Inventory
from bateau.runtimes.kubernetes.live import OWNER, SERVICE
from bateau.runtimes.kubernetes.requests import Method, Requests
from bateau.wiring.this_process import SystemClock
from runtimes.kubernetes.rig import CONFIG_MAPS, DEPLOYMENTS, Bench, settled, unit

SEED = 7
Found = dict[str, JsonObject]


class Dying(Requests):
    """Requests of a process that dies at one of them: before it is sent, or when only the API server knows of it."""

    def __init__(self, access: Access, *, at: int, after: bool) -> None:
        super().__init__(access)
        self._at, self._after = at, after
        self.dead = asyncio.Event()

    async def answer(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | bytes = None,
        form: str = "",
    ) -> tuple[int, JsonObject]:
        self._at -= 1
        dies = self._at == 0
        if dies and not self._after:
            await self._die()
        try:
            return await super().answer(method, path, query=query, body=body, form=form)
        finally:
            if dies:
                await self._die()

    async def _die(self) -> None:
        self.dead.set()
        await asyncio.Future()


def _runtime(b: Bench, *, at: int, after: bool) -> tuple[KubernetesRuntime, Dying]:
    api = ApiServer(access_of([b.kubeconfig]))
    dying = api.requests = Dying(api.requests.access, at=at, after=after)
    return KubernetesRuntime(api, SystemClock(), owner=b.namespace, namespace=b.namespace), dying


async def _dies(b: Bench, units: list[Unit], *, at: int, after: bool) -> bool:
    """Apply until the process dies; return whether it did before everything was done."""
    runtime, dying = _runtime(b, at=at, after=after)
    adopting = asyncio.create_task(runtime.adopt())
    death = asyncio.create_task(dying.dead.wait())
    await asyncio.wait({adopting, death}, return_when=asyncio.FIRST_COMPLETED)
    if not death.done():
        applying = asyncio.create_task(settled(runtime, units))
        await asyncio.wait({applying, death}, return_when=asyncio.FIRST_COMPLETED)
        applying.cancel()
        await asyncio.gather(applying, return_exceptions=True)
    adopting.cancel()
    await asyncio.gather(adopting, return_exceptions=True)
    died = death.done()
    death.cancel()
    await runtime.close()
    return died


async def _objects(b: Bench) -> Found:
    """Return every object of the namespace, without the inventory and without those of the control plane."""
    found: Found = {}
    for resource in (CONFIG_MAPS, DEPLOYMENTS):
        listed, _ = await b.api.list(resource, lambda tree: tree, namespace=b.namespace)
        found |= {text_at(each, "metadata", "name"): each for each in listed}
    return {key: each for key, each in found.items() if not key.startswith(("kube-", "bateau-inventory-"))}


async def test_a_control_plane_that_dies_at_any_request_is_continued_by_the_next(cluster_bench: Bench) -> None:
    b = cluster_bench
    await b.api.create(CONFIG_MAPS, b.config_map("theirs", a="1"))
    copy = b.config_map("copy", a="1")
    copy["metadata"] = {"name": "copy", "namespace": b.namespace, "labels": {OWNER: b.namespace, SERVICE: "app.shop"}}
    await b.api.create(CONFIG_MAPS, copy)
    foreign = await _objects(b)
    states = (
        [
            unit("shop", b.config_map("shop", a="1"), b.config_map("shop-old"), b.deployment("shop")),
            unit("cart", b.config_map("cart")),
        ],
        [unit("shop", b.config_map("shop", a="2"), b.deployment("shop")), unit("till", b.config_map("till"))],
    )
    choose = random.Random(SEED)  # noqa: S311 - no secret
    at, died, now = 0, True, 1
    while died:
        at += 1
        for after in choose.sample((False, True), 2):
            died = await _dies(b, states[1 - now], at=at, after=after)
            # The next control plane has the same specs, or those before: what the dead one has begun must go.
            now = choose.randrange(2)
            async with b.runtime() as runtime:
                await settled(runtime, states[now])
            when = f"died at request {at}, {'after' if after else 'before'} it; then state {now}"
            await _same(b, states[now], foreign, when)
    assert at > 10


def _manifests(unit: Unit) -> tuple[Manifest, ...]:
    assert isinstance(unit.body, Objects)
    return unit.body.manifests


async def _same(b: Bench, units: list[Unit], foreign: Found, when: str) -> None:
    found = await _objects(b)
    wanted = {text_at(each.tree, "metadata", "name"): each.tree for unit in units for each in _manifests(unit)}
    assert found.keys() == wanted.keys() | foreign.keys(), when
    assert {key: found[key] for key in foreign} == foreign, when
    assert {key: found[key].get("data") for key in wanted} == {
        key: each.get("data") or None for key, each in wanted.items()
    }, when
    inventory = await Inventory(b.api, owner=b.namespace, namespace=b.namespace).read()
    assert {key[3]: each.uid for key, each in inventory.items()} == {
        key: text_at(found[key], "metadata", "uid") for key in wanted
    }, when
    managers = {
        text_at(entry, "manager") for each in wanted for entry in array_at(found[each], "metadata", "managedFields")
    }
    assert managers <= {"bateau", "kube-controller-manager"}, when
