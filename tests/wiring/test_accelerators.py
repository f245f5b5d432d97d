"""`plan` and `apply` of a model with accelerators, by the real program, on a real API server with its scheduler.

There is a node in name only, and a ResourceSlice that no driver wrote: the scheduler allocates devices, and nothing
starts.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.kubectl import Kubectl
from runtimes.kubernetes.rig import eventually, idle_node
from wiring.cluster_specs import ON_BERLIN
from wiring.test_clusters import Project

DRIVER = "gpu.nvidia.com"
MODEL = """
---
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec: {source: 'hf://acme/chat', accelerator: {count: %d, memory: 20Gi}}
"""


def device(name: str, memory: str | None) -> dict[str, Any]:
    return {"name": name, **({"capacity": {"memory": {"value": memory}}} if memory else {})}


@pytest.fixture
def project(control_plane: Path, tmp_path: Path) -> Iterator[Project]:
    """A project on a cluster with a driver: four devices, of which one publishes no memory and one has too little."""
    namespace = f"t-{uuid.uuid4().hex[:10]}"
    kubectl = Kubectl(control_plane)
    context = kubectl("config", "current-context").strip()
    devices = [device("a", None), device("b", "16Gi"), device("c", "24Gi"), device("d", "24Gi")]
    driver = [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": DRIVER},
            "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]},
        },
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": namespace},
            "spec": {
                "driver": DRIVER,
                "nodeName": namespace,
                "pool": {"name": namespace, "generation": 1, "resourceSliceCount": 1},
                "devices": devices,
            },
        },
    ]
    specs = ON_BERLIN % {"namespace": namespace, "context": context} + MODEL % 2
    (tmp_path / "specs.yaml").write_text(specs)
    kubectl.create(idle_node(namespace, {}))
    kubectl("taint", "node", namespace, "nvidia.com/gpu=present:NoSchedule")  # as on GKE
    try:
        kubectl.apply(*driver)
        yield Project(tmp_path, namespace, control_plane)
    finally:
        kubectl("delete", "deviceclass", DRIVER, "--ignore-not-found")
        kubectl("delete", "resourceslice", namespace, "--ignore-not-found")
        kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")
        kubectl("delete", "pods", f"--namespace={namespace}", "--all", "--force", "--grace-period=0")
        kubectl("delete", "node", namespace)


async def test_a_driver_gives_a_model_the_devices_that_are_large_enough(project: Project):
    assert f"the cluster has DeviceClass {DRIVER}" in project.bateau("plan", "--env", "prod")
    project.bateau("apply", "--env", "prod", "--yes", "--timeout=1", code=3)  # a node in name only starts nothing

    async def is_allocated() -> bool:
        return any("allocation" in each.get("status", {}) for each in project.kubectl.get("resourceclaims")["items"])

    await eventually(is_allocated)
    (claim,) = project.kubectl.get("resourceclaims")["items"]
    results = claim["status"]["allocation"]["devices"]["results"]
    assert sorted(each["device"] for each in results) == ["c", "d"]
    specs = project.directory / "specs.yaml"
    specs.write_text(specs.read_text().replace("count: 2", "count: 1"))
    plan = project.bateau("plan", "--env", "prod")
    assert "exactly.count 2 -> 1" in plan
    assert "replaces ResourceClaimTemplate" in plan
    assert plan.count("~") == 4, f"fields of the server are not changes: {plan}"
