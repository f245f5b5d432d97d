"""`bateau install` on a node: the controller in its own pod serves documents, and its end stops no service."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.images import Built
from cluster.kubectl import Kubectl

SYSTEM = "bateau-system"


def app_of(image: str) -> dict[str, Any]:
    """Return an App that serves an empty folder."""
    command = ["python3", "-m", "http.server", "8080", "--directory", "/tmp"]
    spec: dict[str, Any] = {"image": image, "command": command, "ports": {"http": {}}, "stopTimeout": "1s"}
    metadata = {"name": "web", "namespace": "default"}
    return {"apiVersion": "bateau.dev/v1alpha1", "kind": "App", "metadata": metadata, "spec": spec}


@pytest.mark.timeout(600)
def test_an_installed_controller_serves_documents_and_its_end_stops_nothing(loaded: Path, app: Built):
    """Pod Security is in force: the API server refuses every pod in the namespace that is not restricted."""
    kubectl, system = Kubectl(loaded), Kubectl(loaded, SYSTEM)

    def bateau(*words: str) -> str:
        command = [Path(sys.executable).with_name("bateau"), *words, "--yes", "--timeout", "120"]
        environ = {**os.environ, "KUBECONFIG": str(loaded)}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def uids() -> list[str]:
        pods = kubectl.get("pods", "--selector=app.kubernetes.io/name=web")["items"]
        return [each["metadata"]["uid"] for each in (kubectl.get("deployment", "web"), *pods)]

    try:
        assert "Bateau is ready" in bateau("install", "--image", app.name)
        refused = system.run("run", "root", f"--image={app.name}", "--restart=Never")
        assert 'violates PodSecurity "restricted' in refused.stderr
        kubectl.apply(app_of(app.name))
        kubectl("wait", "app/web", "--for=condition=Ready", "--timeout=80s")
        before = uids()
        assert len(before) == 2
        assert "nothing changes" in bateau("upgrade")
        assert "the services continue" in bateau("uninstall")
        assert system.get("pods")["items"] == []
        assert uids() == before
        bateau("install", "--image", app.name)
        # The new controller reports what it has adopted.
        kubectl("patch", "app", "web", "--type=merge", '--patch={"metadata":{"labels":{"team":"web"}}}')
        kubectl("wait", "deployment/web", "--for=jsonpath={.metadata.labels.team}=web", "--timeout=80s")
        assert uids()[0] == before[0]
    finally:
        bateau("uninstall", "--workloads")
        kubectl("delete", "app", "web", "--ignore-not-found")
