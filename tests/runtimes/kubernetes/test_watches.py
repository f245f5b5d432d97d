"""Runtimes of several namespaces share their watches, and see no more than their own objects."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import ApiServer, KubernetesRuntime, access_of, watches
from bateau.runtimes.kubernetes.live import OWNER, Live, live
from bateau.runtimes.kubernetes.watches import SharedWatches
from bateau.wiring.this_process import SystemClock
from cluster.kubectl import Kubectl
from runtimes.kubernetes.rig import Bench, bench, settled, unit, until

MANAGED = {"app.kubernetes.io/managed-by": "bateau"}


class Counting(ApiServer):
    """An API server whose watches are counted."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(access_of([kubeconfig]))
        self.watched: list[str] = []

    def watch(self, resource: Any, *words: Any, **more: Any) -> Any:
        self.watched.append(resource.plural)
        return super().watch(resource, *words, **more)


@asynccontextmanager
async def sharing(
    kubeconfig: Path, count: int = 2
) -> AsyncGenerator[tuple[SharedWatches, Counting, Sequence[tuple[Bench, KubernetesRuntime]]]]:
    """Give shared watches with their connection, and runtimes of a namespace each that use them."""
    api = Counting(kubeconfig)
    shared = SharedWatches(api)
    async with AsyncExitStack() as stack:
        made: list[tuple[Bench, KubernetesRuntime]] = []
        for _ in range(count):
            at = await stack.enter_async_context(bench(kubeconfig))
            runtime = KubernetesRuntime(
                ApiServer(access_of([kubeconfig])),
                SystemClock(),
                owner=at.namespace,
                namespace=at.namespace,
                watches=shared,
            )
            await runtime.adopt()
            made.append((at, runtime))
        try:
            yield shared, api, made
        finally:
            for _, runtime in made:
                await runtime.close()
            await shared.close()
            await api.close()


async def test_namespaces_share_one_watch_for_each_kind(control_plane: Path):
    async with sharing(control_plane, 3) as (_, api, made):
        for at, runtime in made:
            seen = await settled(runtime, [unit("web", at.config_map("a", who=at.namespace))])
            assert {each.key[2] for each in seen.objects} == {at.namespace}
        assert sorted(api.watched) == ["configmaps", "pods", "replicasets"]


async def test_news_of_one_view_wake_no_other(control_plane: Path):
    async with sharing(control_plane) as (_, _, ((one, first), (other, second))):
        await settled(second, [unit("web", other.config_map("a"))])
        await settled(first, [unit("web", one.config_map("a"))])
        woken: list[int] = []
        second.on_change(lambda: woken.append(1))
        await settled(first, [unit("web", one.config_map("a", more="yes"))])
        await asyncio.sleep(0.3)
        assert woken == []


async def test_a_view_that_ends_is_told_nothing_and_one_that_begins_knows_what_is_there(control_plane: Path):
    async with sharing(control_plane) as (shared, _, ((one, first), (other, second))):
        await settled(first, [unit("web", one.config_map("a"))])
        await settled(second, [unit("web", other.config_map("a"))])
        await first.close()
        again = KubernetesRuntime(
            ApiServer(access_of([one.kubeconfig])),
            SystemClock(),
            owner=one.namespace,
            namespace=one.namespace,
            watches=shared,
        )
        try:
            await again.adopt()
            seen = await settled(again, [unit("web", one.config_map("a"))])
            assert [each.phase for each in seen.objects] == ["current"]
        finally:
            await again.close()


async def test_an_object_whose_label_moves_to_another_owner_is_seen_there_alone(control_plane: Path):
    async with sharing(control_plane) as (_, _, ((one, first), (other, second))):
        await settled(first, [unit("web", one.config_map("a"))])
        await settled(second, [unit("web", other.config_map("b"))])
        key = ("", "ConfigMap", one.namespace, "a")
        views = [each._view for each in (first, second)]  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001
        assert [key in view.live for view in views] == [True, False]
        first.apply([], held=["app/web"])  # which leaves the object alone
        words = ("label", "--overwrite", "configmap/a", f"{OWNER}={other.namespace}")
        await asyncio.to_thread(Kubectl(control_plane, one.namespace), *words)
        async with asyncio.timeout(10):
            while [key in view.live for view in views] != [False, True]:  # noqa: ASYNC110 - a watch tells it
                await asyncio.sleep(0.05)


async def test_the_pods_that_are_shared_are_those_that_bateau_renders(control_plane: Path):
    async with sharing(control_plane, 1) as (_, _, ((at, runtime),)):
        deployment = at.deployment("web", 1, node="nowhere", **MANAGED)
        runtime.apply([unit("web", deployment)])
        seen = await until(runtime, lambda seen: bool(seen.replicas))
        assert [each.service for each in seen.replicas] == ["app/web"]


async def test_an_object_that_cannot_be_read_hides_no_other(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planted(tree: JsonObject) -> Live:
        if text_at(tree, "metadata", "name") == "odd":
            raise RuntimeError("planted")
        return live(tree)

    monkeypatch.setattr(watches, "live", planted)
    async with sharing(control_plane) as (_, _, ((one, first), (other, second))):
        first.apply([unit("odd", one.config_map("odd"))])
        await settled(second, [unit("web", other.config_map("a"))])
        seen = await until(first, lambda seen: bool(seen.objects))
        assert seen.unknown is None
        assert [each.phase for each in seen.objects] == ["waiting"], "it is not reported as healthy"


def test_an_annotation_that_is_no_number_is_no_failure() -> None:
    annotations: JsonObject = {"deployment.kubernetes.io/revision": "odd"}
    assert live({"metadata": {"name": "a", "annotations": annotations}}).rollout == 0
