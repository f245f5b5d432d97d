"""Fixtures that give tests a real Kubernetes: `control_plane` and `cluster`, once per session.

Called by the conftest of all tests, so any test can use them. With KUBECONFIG set, both are the cluster that it names,
and nothing is started. Otherwise the recipe in cluster/ starts one, on ports and in namespaces of its own: several
sessions can run side by side. Programs are never built within a test; `make cluster` or .ci/cluster has done that.

Invariant: a session leaves no cluster behind. The next one removes those of sessions that were killed.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

RECIPE = Path(__file__).parents[2] / "cluster"
START_S = 400.0
STOP_S = 90.0
# A test that comes first waits for the start of the cluster, too.
TEST_S = 600.0
# A machine without the rights or the packages for a node still runs every test that needs the control plane only.
CANNOT = re.compile(r"this machine cannot run a node|not installed")
FIXTURES = {"control_plane", "cluster"}


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Path]:
    """Return the kubeconfig of an API server with etcd, controllers and a scheduler; it may have no node."""
    yield from started("control-plane", nodes=0, parts=["kube"])


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """Return the kubeconfig of a cluster with a real node, which runs pods, DNS, Services and NetworkPolicies."""
    yield from started("cluster", nodes=1, parts=[])


def started(label: str, *, nodes: int, parts: list[str]) -> Iterator[Path]:
    """Start a cluster of this session, and give its kubeconfig; remove it at the end."""
    outside = os.environ.get("KUBECONFIG")
    if outside:
        yield Path(outside)
        return
    if missing := recipe("build.sh", "--missing", *parts).stdout.strip():
        unavailable(f"not built: {missing}; run .ci/cluster once")
    remove_abandoned()
    name = f"test-{os.getpid()}-{label}"
    before = _machine()
    try:
        done = recipe("up.sh", "--nodes", str(nodes), "--strict", name=name, timeout_s=START_S)
        if done.returncode != 0 and CANNOT.search(done.stderr):
            pytest.skip(done.stderr.strip())
        if done.returncode != 0:
            unavailable(f"the test cluster does not start: {done.stderr.strip()}")
        yield Path(done.stdout.strip())
    finally:
        stopped = recipe("down.sh", name=name, timeout_s=STOP_S)
        assert stopped.returncode == 0, stopped.stderr
        assert leftovers(name) == []
        assert {each: _machine()[each] for each in before} == before, (
            "the start of a cluster changes no setting of the machine"
        )


def leftovers(name: str) -> list[str]:
    """Return everything of a cluster that the machine still has: processes, namespaces, cgroups and mounts."""
    own = re.compile(rf"bateau-{name}(?![\w-])|/{name}(?![\w-])")
    processes = [
        f"process {each.parent.name}: {words}"
        for each in Path("/proc").glob("[0-9]*/cmdline")
        if own.search(words := _text(each).replace("\0", " "))
    ]
    mounts = [line for line in _text(Path("/proc/self/mounts")).splitlines() if own.search(line)]
    namespaces = [str(each) for each in Path("/run/netns").glob(f"bateau-{name}*")]
    # Unlike `glob`, this does not mind that the groups of other clusters end meanwhile.
    groups = ((folder, each) for folder, names, _ in os.walk("/sys/fs/cgroup") for each in names)
    cgroups = [f"{folder}/{each}" for folder, each in groups if each == f"bateau-{name}"]
    return [*processes, *mounts, *namespaces, *cgroups]


def _machine() -> dict[str, str | int]:
    """Return the settings of the machine that a kubelet, kube-proxy and kube-router like to change, and its network."""
    names = "vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys "
    names += "net/ipv4/ip_forward net/netfilter/nf_conntrack_max net/bridge/bridge-nf-call-iptables"
    settings = {each: text for each in names.split() if (text := _text(Path("/proc/sys", each)))}
    return settings | {"interfaces": _text(Path("/proc/net/dev")).count("\n"), "routes": _text(Path("/proc/net/route"))}


def _text(path: Path) -> str:
    """Return the text of a file, or nothing if it has gone or is not there."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def unavailable(reason: str) -> NoReturn:
    """Skip the test; in CI, where the cluster must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def remove_abandoned() -> None:
    """Remove the clusters of sessions that were killed: their names have the pid of a process that has gone."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state", "bateau/cluster")
    for folder in state.glob("test-*-*/"):
        owner = re.match(r"test-(\d+)-", folder.name)
        if owner and not Path("/proc", owner[1]).exists():
            recipe("down.sh", name=folder.name, timeout_s=STOP_S)


def recipe(
    script: str, *arguments: str, name: str = "default", timeout_s: float = 60
) -> "subprocess.CompletedProcess[str]":
    """Run a script of the recipe in a group of its own, so that a timeout ends its children, too."""
    program = [sys.executable] if script.endswith(".py") else []
    command = [*program, str(RECIPE / script), *arguments]
    with subprocess.Popen(
        command,
        env={**os.environ, "NAME": name},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
