"""A real node: pods, DNS, Services, NetworkPolicies and image volumes, as other tests get them."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import oci
from cluster.fixtures import recipe
from cluster.kubectl import Kubectl

WEB = "bateau.dev/cluster/web:1"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module")
def kubectl(cluster: Path) -> Iterator[Kubectl]:
    """A namespace with the strictest Pod Security, which is removed afterwards."""
    images = [
        name
        for node in Kubectl(cluster).get("nodes")["items"]
        for each in node["status"]["images"]
        for name in each["names"]
    ]
    if WEB not in images:
        pytest.skip(f"the nodes of this cluster do not have {WEB}, which `make cluster` imports")
    name = f"t-{os.getpid()}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    Kubectl(cluster).apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield Kubectl(cluster, name)
    Kubectl(cluster)("delete", "namespace", name, "--wait=false")


def pod(
    name: str, *, volumes: list[dict[str, Any]] | None = None, mounts: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return a web server that is as unprivileged as a pod can be."""
    container = {
        "name": "web",
        "image": WEB,
        "securityContext": RESTRICTED,
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        "volumeMounts": mounts or [],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes or []},
    }


@pytest.fixture(scope="module")
def web(kubectl: Kubectl) -> str:
    """A web server and two clients of it, which are web servers too, and a Service."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    kubectl.apply(pod("web"), pod("friend"), pod("stranger"), service)
    kubectl("wait", "pod", "--all", "--for=condition=Ready", "--timeout=80s")
    return "web"


def reaches(kubectl: Kubectl, client: str, url: str) -> bool:
    """Whether a client gets an answer."""
    return kubectl.run("exec", client, "--", "/web", "get", url).returncode == 0


def eventually(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait until a change has reached kube-proxy or kube-router, which watch the API server."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)


def ignored_signals(status: str) -> list[int]:
    """The signals that a process ignores, by its /proc/PID/status.

    Without the two that the C library keeps to itself: no program can set them, and none receives them.
    """
    mask = int(status.partition("SigIgn:")[2].split()[0], 16)
    return [number for number in range(1, 65) if mask >> (number - 1) & 1 and number not in (32, 33)]


def test_the_nodes_are_ready(cluster: Path):
    conditions = [each["status"]["conditions"] for each in Kubectl(cluster).get("nodes")["items"]]
    assert conditions
    assert all({"type": "Ready", "status": "True"}.items() <= each[-1].items() for each in conditions)


def test_a_pod_without_any_right_answers_through_its_service_and_its_name(kubectl: Kubectl, web: str):
    """The name is resolved by the cluster's DNS, and seccomp's default profile is in force."""
    url = f"http://{web}.{kubectl.namespace}.svc.cluster.local/"
    eventually(lambda: reaches(kubectl, "friend", url), "kube-proxy does not serve the Service of ready pods")
    assert kubectl("exec", "friend", "--", "/web", "get", url).split() == ["200", "web"]
    address = kubectl.get("service", web)["spec"]["clusterIP"]
    assert kubectl("exec", "friend", "--", "/web", "lookup", web).split() == [address]
    status = kubectl("exec", "friend", "--", "/web", "cat", "/proc/self/status")
    assert "Seccomp:\t2" in status
    assert ignored_signals(status) == [], "a process above the node must not pass on the signals that it ignores"


def test_a_network_policy_admits_the_named_pods_and_no_other(kubectl: Kubectl, web: str):
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "web"},
        "spec": {
            "podSelector": {"matchLabels": {"app": web}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}], "ports": [{"port": 8080}]}],
        },
    }

    def is_admitted(client: str) -> bool:
        return reaches(kubectl, client, f"http://{web}/")

    eventually(lambda: is_admitted("stranger"), "without a policy, every pod is admitted")
    kubectl.apply(policy)
    try:
        eventually(lambda: not is_admitted("stranger"), "the policy is not enforced")
        assert is_admitted("friend")
        # The packets of pods of one node pass a bridge, and no router.
        address = kubectl.get("pod", web)["status"]["podIP"]
        assert not reaches(kubectl, "stranger", f"http://{address}:8080/")
        assert reaches(kubectl, "friend", f"http://{address}:8080/")
    finally:
        kubectl("delete", "networkpolicy", "web")
    eventually(lambda: is_admitted("stranger"), "the policy was deleted and is still enforced")


def test_an_image_volume_is_read_by_a_pod_without_rights(kubectl: Kubectl, cluster: Path, tmp_path: Path):
    if "KUBECONFIG" in os.environ:
        pytest.skip("images are imported only into the nodes that this suite started")
    folder = tmp_path / "layer"
    folder.mkdir()
    (folder / "model.gguf").write_text("the weights")
    (folder / "model.gguf").chmod(0o644)
    name = "bateau.dev/tests/model:1"
    oci.write(tmp_path / "model.tar", name, [folder], oci.Config())
    loaded = recipe("load.sh", str(tmp_path / "model.tar"), name=cluster.parent.name, timeout_s=120)
    assert loaded.returncode == 0, loaded.stderr
    volume = {"name": "model", "image": {"reference": name, "pullPolicy": "Never"}}
    kubectl.apply(pod("reader", volumes=[volume], mounts=[{"name": "model", "mountPath": "/models"}]))
    kubectl("wait", "pod/reader", "--for=condition=Ready", "--timeout=80s")
    assert kubectl("exec", "reader", "--", "/web", "cat", "/models/model.gguf") == "the weights"


def test_another_number_of_nodes_than_the_running_one_is_refused(cluster: Path):
    if os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names a cluster that somebody else has started")
    name = cluster.parent.name
    refused = recipe("up.sh", "--nodes", "3", name=name)
    assert refused.returncode == 1
    assert f"the cluster '{name}' is running with 1 of 3 nodes" in refused.stderr
    assert recipe("up.sh", name=name).stdout.strip() == str(cluster)
