"""Workloads that do not start on a real node, and what `apply` and `status` say about each."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.kubectl import Kubectl

WEB = "bateau.dev/cluster/web:1"
_SPECS = """
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {clusters: [berlin], namespace: %(namespace)s}
---
apiVersion: bateau.dev/v1alpha1
kind: Cluster
metadata: {name: berlin}
spec: {context: %(context)s}
"""


@pytest.fixture
def kubectl(cluster: Path) -> Iterator[Kubectl]:
    made = Kubectl(cluster, f"t-{uuid.uuid4().hex[:10]}")
    images = [
        name for node in made.get("nodes")["items"] for each in node["status"]["images"] for name in each["names"]
    ]
    if WEB not in images:
        pytest.skip(f"the nodes of this cluster do not have {WEB}, which `make cluster` imports")
    yield made
    Kubectl(cluster)("delete", "namespace", str(made.namespace), "--wait=false", "--ignore-not-found")


def _app(directory: Path, name: str, *more: dict[str, Any], **container: Any) -> None:
    """Write an App of one Deployment."""
    spec = {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "web", "image": WEB, "imagePullPolicy": "Never", **container}],
    }
    labels = {"app": name}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }
    folder = directory / name
    folder.mkdir()
    for number, tree in enumerate((deployment, *more)):
        (folder / f"{number}.yaml").write_text(json.dumps(tree))
    head = f"apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\n"
    (directory / f"{name}.app.yaml").write_text(f"{head}spec: {{manifests: ['{name}/*.yaml']}}\n")


def test_every_failure_is_explained_and_the_gateway_waits(kubectl: Kubectl, tmp_path: Path) -> None:
    context = kubectl("config", "current-context").strip()
    (tmp_path / "specs.yaml").write_text(_SPECS % {"namespace": kubectl.namespace, "context": context})
    backend = {"service": {"name": "crashes", "port": {"number": 80}}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "entrance"},
        "spec": {"defaultBackend": backend},
    }
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "little"},
        "spec": {"hard": {"requests.cpu": "200"}},
    }
    small = {"requests": {"cpu": "1m"}}
    _app(tmp_path, "crashes", ingress, resources=small, args=["cat", "/no/such/config"])
    _app(tmp_path, "imageless", resources=small, image="registry.example.org/shop:9")
    _app(tmp_path, "large", resources={"requests": {"cpu": "150"}})
    _app(tmp_path, "larger", quota, resources={"requests": {"cpu": "250"}})
    probe = {"httpGet": {"path": "/", "port": 9999}, "periodSeconds": 1}
    _app(tmp_path, "unready", resources=small, readinessProbe=probe)
    told = _bateau(kubectl, tmp_path, "apply", "--env", "prod", "--yes", "--timeout", "25")
    for says in (
        "web ended with exit code 1, and waits for its next start",
        "log    ",
        "open /no/such/config: no such file or directory",
        "web: image registry.example.org/shop:9 is not on the node, and its pull policy is Never",
        "not scheduled: the only node cannot take the pod: 1 has too little free cpu",
        "ResourceQuota little is exceeded (requests.cpu: 250 more requested",
        "app/unready is not healthy",
        "event  Unhealthy: Readiness probe failed: Get",
        "berlin: stopped; not applied: the gateway",
    ):
        assert says in told, told
    assert kubectl.run("get", "ingress", "entrance").returncode != 0


def _bateau(kubectl: Kubectl, directory: Path, *words: str) -> str:
    """Run the program, which fails, and return everything that it printed."""
    command = [sys.executable, "-m", "bateau", *words]
    environ = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)}
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    return done.stdout + done.stderr
