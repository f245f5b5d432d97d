"""The recipe where something is missing: one message that names it and the fix, and nothing is left behind."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.fixtures import RECIPE, leftovers, recipe, remove_abandoned, unavailable

NAME = f"test-{os.getpid()}-refusals"
IS_ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("NAME", NAME)
    yield tmp_path / "bateau/cluster"
    recipe("down.sh", name=NAME, timeout_s=90)
    assert leftovers(NAME) == []


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*command], capture_output=True, text=True, timeout=400, check=False)


def without(folder: str, *command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a command on a machine where a folder is empty: only the command sees it so."""
    if not IS_ROOT:
        pytest.skip("only root may hide a folder")
    return run("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', folder, *command)


@pytest.mark.timeout(600)
def test_without_root_the_control_plane_starts_alone_and_says_so(state: Path):
    if missing := recipe("build.sh", "--missing", "kube").stdout.strip():
        unavailable(f"not built: {missing}; run .ci/cluster once")
    # In a user namespace without a mapping, root is nobody.
    nobody = ["unshare", "--user"] if IS_ROOT else []
    done = run(*nobody, RECIPE / "up.sh")
    assert done.returncode == 0, done.stderr
    warning, *_ = done.stderr.splitlines()
    assert warning == (
        "warning: no node is started: it needs root. The control plane starts alone, and pods stay Pending."
    )
    assert done.stdout.strip() == str(state / NAME / "kubeconfig")
    found = json.loads(recipe("status.py", "--name", NAME, "--json").stdout)
    assert (found["state"], found["nodes"]) == ("Running", [])


def test_a_caller_that_must_have_a_node_gets_an_error_without_root():
    nobody = ["unshare", "--user"] if IS_ROOT else []
    done = run(*nobody, RECIPE / "up.sh", "--strict")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: this machine cannot run a node: it needs root\n"


def test_missing_packages_are_named_together_with_the_command_that_installs_them():
    done = without("/usr/lib/cni", RECIPE / "up.sh")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:2] == [
        "error: programs are missing: containernetworking-plugins",
        "  hint: apt-get install --no-install-recommends containernetworking-plugins",
    ]


def test_without_go_a_build_names_the_version_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    done = (
        without("/usr/local/go", RECIPE / "build.sh", "tools")
        if Path("/usr/local/go").exists()
        else run(RECIPE / "build.sh")
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: Go is not installed, and the cluster's programs are not built yet",
        "  hint: install Go 1.26.0 or later from https://go.dev/dl",
    ]


def test_a_kubeconfig_of_the_user_is_used_and_nothing_is_started(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    done = run(RECIPE / "up.sh")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"error: no file exists at KUBECONFIG={tmp_path / 'gone'}"
    (tmp_path / "gone").write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c"}}],
                "current-context": "c",
            }
        )
    )
    done = run(RECIPE / "up.sh")
    assert done.returncode == 1
    assert "does not answer" in done.stderr.splitlines()[0]
    assert "was refused" in done.stderr.splitlines()[0]
    found = json.loads(recipe("status.py", "--json").stdout)
    assert (found["state"], found["kubernetesVersion"], found["nodes"]) == ("Unreachable", None, None)
    assert recipe("status.py").stdout.splitlines()[1:3] == ["kubernetes  unknown", "nodes       unknown"]
    assert not state.exists()


@pytest.mark.parametrize("name", ["", "-a", "Upper", "a/b", "x" * 41])
def test_a_name_that_no_namespace_can_have_is_refused(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NAME", name or "a b")
    for script in ("up.sh", "down.sh", "load.sh"):
        done = run(RECIPE / script)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")


def test_the_cluster_of_a_killed_session_is_removed_and_that_of_a_living_one_is_not(state: Path):
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    for pid in (ended.pid, os.getpid()):
        (state / f"test-{pid}-cluster/logs").mkdir(parents=True)
    remove_abandoned()
    assert [each.name for each in state.iterdir()] == [f"test-{os.getpid()}-cluster"]


def test_images_are_not_loaded_into_a_cluster_without_a_node():
    done = run(RECIPE / "load.sh", "/dev/null")
    assert done.returncode == 1
    assert done.stderr == f"error: the cluster '{NAME}' has no node\n  hint: run `bateau dev cluster up` first\n"
