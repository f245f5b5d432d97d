"""The control plane alone: the real API server, etcd, controllers and scheduler, as other tests get it."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.fixtures import RECIPE, leftovers, recipe, unavailable
from cluster.kubectl import Kubectl

NAME = f"test-{os.getpid()}-own"


@pytest.fixture
def kubectl(control_plane: Path) -> Iterator[Kubectl]:
    """A namespace of its own, which is removed afterwards."""
    name = f"t-{os.getpid()}"
    Kubectl(control_plane)("create", "namespace", name)
    yield Kubectl(control_plane, name)
    Kubectl(control_plane)("delete", "namespace", name, "--wait=false")


def test_the_api_server_has_the_version_of_the_lock(control_plane: Path):
    if "KUBECONFIG" in os.environ:
        pytest.skip("the cluster of KUBECONFIG has a version of its own")
    locked = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (RECIPE / "go/go.mod").read_text())
    assert locked
    assert json.loads(Kubectl(control_plane)("get", "--raw=/version"))["gitVersion"] == locked[1]


def test_controllers_and_the_field_managers_of_the_server_work(kubectl: Kubectl):
    kubectl.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {
                        "nodeSelector": {"bateau.dev/no-such-node": "yes"},
                        "containers": [{"name": "web", "image": "example.com/web:1"}],
                    },
                },
            },
        }
    )
    managers = kubectl.get("deployment", "web", "--show-managed-fields")["metadata"]["managedFields"]
    assert {"kubectl"} <= {each["manager"] for each in managers if each["operation"] == "Apply"}
    kubectl("wait", "pod", "--for=jsonpath={.status.conditions[0].reason}=Unschedulable", "--all", "--timeout=60s")
    assert len(kubectl.get("pods")["items"]) == 2


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of state of a cluster that a test starts itself; the cluster is down afterwards in any case."""
    if missing := recipe("build.sh", "--missing", "kube").stdout.strip():
        unavailable(f"not built: {missing}; run .ci/cluster once")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield tmp_path / "bateau/cluster"
    recipe("down.sh", name=NAME, timeout_s=90)


@pytest.mark.timeout(600)
def test_a_second_start_finds_the_first_and_a_stop_leaves_nothing(own: Path):
    first = recipe("up.sh", "--nodes", "0", name=NAME, timeout_s=400)
    assert first.returncode == 0, first.stderr
    kubeconfig = Path(first.stdout.strip())
    assert kubeconfig.stat().st_mode & 0o077 == 0, "it contains the key of the administrator"
    assert own.joinpath(NAME).stat().st_mode & 0o077 == 0
    second = recipe("up.sh", "--nodes", "0", name=NAME)
    assert (second.stdout, second.stderr) == (first.stdout, "the cluster is running already\n")

    found = json.loads(recipe("status.py", "--name", NAME, "--json").stdout)
    assert (found["state"], found["nodes"]) == ("Running", [])
    assert {each["name"] for each in found["processes"]} == {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    }

    stopped = recipe("down.sh", name=NAME, timeout_s=90)
    assert (stopped.returncode, stopped.stderr) == (0, f"the cluster '{NAME}' is down\n")
    assert leftovers(NAME) == []
    assert list(own.iterdir()) == []


@pytest.mark.timeout(600)
def test_a_cluster_of_which_a_process_was_killed_is_degraded_and_is_replaced_by_the_next_start(own: Path):
    assert recipe("up.sh", "--nodes", "0", name=NAME, timeout_s=400).returncode == 0
    os.kill(int((own / NAME / "pids/etcd").read_text().split()[0]), signal.SIGKILL)
    found = json.loads(recipe("status.py", "--name", NAME, "--json").stdout)
    assert found["state"] == "Degraded"
    assert [each["name"] for each in found["processes"] if not each["running"]] == ["etcd"]
    again = recipe("up.sh", "--nodes", "0", name=NAME, timeout_s=400)
    assert again.returncode == 0, again.stderr
    assert "removing a cluster of which these processes have ended: etcd" in again.stderr
    assert json.loads(recipe("status.py", "--name", NAME, "--json").stdout)["state"] == "Running"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_its_logs_and_nothing_else(own: Path, number: signal.Signals):
    with subprocess.Popen(
        [RECIPE / "up.sh", "--nodes", "0"],
        env={**os.environ, "NAME": NAME},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # As a terminal starts it: this process may have been started with SIGINT ignored, which a shell cannot undo.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as start:
        while not (own / NAME / "pids/kube-apiserver").exists():
            assert start.poll() is None
            time.sleep(0.05)
        os.killpg(start.pid, number)
        out, err = start.communicate(timeout=120)
    assert start.returncode == 128 + number
    assert out == ""
    assert f"removing everything that was started; the logs are in {own / NAME}/logs" in err
    assert leftovers(NAME) == []
    assert [each.name for each in (own / NAME).iterdir()] == ["logs"]


def test_a_program_that_fails_is_reported_with_the_end_of_its_log(own: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_SERVER_ARGS", "--no-such-flag")
    done = recipe("up.sh", "--nodes", "0", name=NAME, timeout_s=120)
    assert done.returncode == 1
    assert "error: kube-apiserver has exited; the end of" in done.stderr
    assert "unknown flag: --no-such-flag" in done.stderr
    assert leftovers(NAME) == []
    assert own.joinpath(NAME, "logs/kube-apiserver.log").exists()
