"""A node that runs no container: its pods get ready, and end, as soon as the API server says so.

So an API server without a real node shows the whole life of a pod. Deployments, ReplicaSets and the garbage
collection are those of the real control plane.
"""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from bateau.domain.errors import ClusterError, ObjectRefused
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource

PODS: Final = Resource("/api/v1", "pods", namespaced=True)
NODES: Final = Resource("/api/v1", "nodes", namespaced=False)
# The control plane calls a node lost that says nothing for 50 s, and evicts its pods.
_HEARTBEAT_S: Final = 10.0
_MERGE: Final = "application/merge-patch+json"


@asynccontextmanager
async def node(api: ApiServer, namespace: str) -> AsyncGenerator[str]:
    """Give the name of a node for the pods of one namespace, which have it as `spec.nodeName`."""
    name = f"none-{namespace}"
    # The taint keeps pods away that did not ask for this node, such as those of a DaemonSet.
    spec: JsonObject = {"taints": [{"key": "bateau.dev/test", "effect": "NoSchedule"}], "unschedulable": True}
    made = await api.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})
    tasks = [asyncio.create_task(_beat(api, name)), asyncio.create_task(_run(api, namespace, name))]
    try:
        yield name
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await api.delete(NODES, "", name, uid=text_at(made, "metadata", "uid"))


async def _beat(api: ApiServer, name: str) -> None:
    while True:
        now = _now()
        ready: JsonObject = {"type": "Ready", "status": "True", "reason": "NoContainers", "message": "ready"}
        status: JsonObject = {"conditions": [{**ready, "lastHeartbeatTime": now, "lastTransitionTime": now}]}
        await _patch_status(api, NODES.path("", name), status)
        await asyncio.sleep(_HEARTBEAT_S)


async def _run(api: ApiServer, namespace: str, name: str) -> None:
    seen: set[str] = set()
    while True:
        try:
            async for event in api.watch(PODS, "", namespace=namespace):
                pod = event.object
                if event.type in ("ADDED", "MODIFIED") and text_at(pod, "spec", "nodeName") == name:
                    await _serve(api, pod, seen)
        except ClusterError:
            await asyncio.sleep(0.1)


async def _serve(api: ApiServer, pod: JsonObject, seen: set[str]) -> None:
    """Make a new pod ready, and let a pod go that is being deleted."""
    uid = text_at(pod, "metadata", "uid")
    path = PODS.path(text_at(pod, "metadata", "namespace"), text_at(pod, "metadata", "name"))
    try:
        if text_at(pod, "metadata", "deletionTimestamp"):
            body: JsonObject = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
            await api.requests.json("DELETE", path, body=body, form="application/json")
        elif uid not in seen:
            seen.add(uid)
            now = _now()
            conditions: list[JsonObject] = [
                {"type": each, "status": "True", "lastTransitionTime": now}
                for each in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ]
            status: JsonObject = {
                "phase": "Running",
                "startTime": now,
                "podIP": "192.0.2.7",
                "conditions": [*conditions],
            }
            await _patch_status(api, path, status)
    except ObjectRefused:
        pass  # it has gone meanwhile


async def _patch_status(api: ApiServer, path: str, status: JsonObject) -> None:
    await api.requests.json("PATCH", f"{path}/status", body={"status": status}, form=_MERGE)


def _now() -> str:
    return dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
