"""A runtime against a real API server, in a namespace of its own; units are ConfigMaps, or a Deployment of no pod."""

import asyncio
import datetime as dt
import os
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bateau.domain.manifest import Manifest
from bateau.domain.object_state import ObjectState
from bateau.domain.unit import Objects, Unit
from bateau.domain.workload import ServiceKey
from bateau.kit.json_value import JsonObject, ReadObject
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes import ApiServer, KubernetesRuntime, access_of
from bateau.runtimes.kubernetes.api import Resource
from bateau.runtimes.kubernetes.applying import DriftPolicy
from bateau.wiring.this_process import SystemClock

WAIT_S = 30.0
CONFIG_MAPS = Resource("/api/v1", "configmaps", namespaced=True)
DEPLOYMENTS = Resource("/apis/apps/v1", "deployments", namespaced=True)
NAMESPACES = Resource("/api/v1", "namespaces", namespaced=False)


@dataclass
class Bench:
    """An API server as an administrator sees it, and a namespace for one test."""

    kubeconfig: Path
    api: ApiServer
    namespace: str

    def config_map(self, name: str, **data: str) -> JsonObject:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self.namespace},
            "data": {**data},
        }

    def deployment(self, name: str, replicas: int = 0, *, node: str = "", **labels: str) -> JsonObject:
        """Return a Deployment that replaces its pods as rendered ones do, on a node if one is named."""
        containers: JsonObject = {"containers": [{"name": "web", "image": "registry.example/web:1"}]}
        pod: JsonObject = {
            "metadata": {"labels": {"app": name, **labels}},
            "spec": {**containers, **({"nodeName": node} if node else {})},
        }
        spec: JsonObject = {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": pod,
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }

    async def data(self, name: str) -> object:
        """Return the data of a ConfigMap; None if it does not exist."""
        found = await self.api.get(CONFIG_MAPS, self.namespace, name)
        return found and found.get("data")

    @asynccontextmanager
    async def runtime(self, *, drift: DriftPolicy = "repair", force: bool = False) -> AsyncGenerator[KubernetesRuntime]:
        """Give a runtime with connections of its own, as another process would have."""
        api = ApiServer(access_of([self.kubeconfig]))
        own = self.namespace
        made = KubernetesRuntime(api, SystemClock(), owner=own, namespace=own, drift=drift, force=force)
        await made.adopt()
        try:
            yield made
        finally:
            await made.close()


def idle_node(name: str, annotations: Mapping[str, str], **more: str) -> JsonObject:
    """Return a node that is ready in name only, to which pods are scheduled and never start; `more` are amounts."""
    amounts: JsonObject = {"cpu": "64", "memory": "512Gi", "pods": "100", **more}
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready: JsonObject = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {**annotations}},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]},
    }


def unit(name: str, *trees: ReadObject) -> Unit:
    """Return an App's unit of these objects."""
    key = ServiceKey.of("App", name)
    manifests = tuple(Manifest(service=key, target="kubernetes", tree=each, origins={}) for each in trees)
    return Unit(key=key, target="kubernetes", body=Objects(manifests=manifests))


@asynccontextmanager
async def bench(kubeconfig: Path) -> AsyncGenerator[Bench]:
    """Give a namespace, and remove it at the end."""
    api = ApiServer(access_of([kubeconfig]), environ=os.environ)
    namespace = f"t-{uuid.uuid4().hex[:10]}"
    await api.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    try:
        yield Bench(kubeconfig, api, namespace)
    finally:
        found = await api.get(NAMESPACES, "", namespace)
        assert found is not None
        metadata = found["metadata"]
        assert isinstance(metadata, dict)
        await api.delete(NAMESPACES, "", namespace, uid=str(metadata["uid"]))
        await api.close()


async def settled(runtime: KubernetesRuntime, units: Sequence[Unit]) -> Observed:
    """Apply, and wait until nothing moves and nothing has failed."""
    runtime.apply(units)
    return await until(runtime, lambda seen: not seen.moving and not seen.failures and seen.unknown is None)


async def until(runtime: KubernetesRuntime, done: Callable[[Observed], bool]) -> Observed:
    """Wait for a state."""
    changed = asyncio.Event()
    runtime.on_change(changed.set)
    seen = runtime.observe()
    try:
        async with asyncio.timeout(WAIT_S):
            while not done(seen):
                changed.clear()
                try:
                    async with asyncio.timeout(0.2):
                        await changed.wait()
                except TimeoutError:
                    pass
                seen = runtime.observe()
    except TimeoutError as error:
        raise AssertionError(f"not in {WAIT_S} s: {seen}") from error
    return seen


async def eventually(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until the answer is true."""
    async with asyncio.timeout(WAIT_S):
        while not await ask():  # noqa: ASYNC110 - another process has the answer
            await asyncio.sleep(0.05)


def state_of(seen: Observed, name: str) -> ObjectState:
    """Return the state of the object of this name."""
    return next(each for each in seen.objects if each.key[3] == name)
