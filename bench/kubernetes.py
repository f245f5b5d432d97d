"""Objects on a real API server: applied beside kubectl and Helm, 10,000 at rest, and a cold start beside kopf.

`make cluster` must have built the programs; the benchmark starts a control plane of its own. Contenders take turns, so
that what else the machine does hits all of them. No node runs: Deployments have no replicas.

Refused: waiting for pods; their time is the cluster's, and the same for everyone.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peer_installs import NotInstalledError, beside_python, python_with
from bench.report import figure

SERVICES = 1000
AT_REST = 10_000
COLD = 2000
ROUNDS = 3
_CLUSTER = "bench"
# Its own limit of 20 requests per second would let the controllers lag behind and disturb the next contender.
_CONTROLLERS = {"CONTROLLER_MANAGER_ARGS": "--kube-api-qps=300 --kube-api-burst=600"}
_KOPF = "kopf==1.45.2"
_HANDLER = """
import kopf

@kopf.on.startup()
def settings(settings, **_):
    settings.posting.enabled = False

@kopf.on.create("", "v1", "configmaps", labels={"bench": "yes"})
@kopf.on.resume("", "v1", "configmaps", labels={"bench": "yes"})
def handle(patch, **_):
    patch["data"] = {"a": "handled"}
"""
Tree = dict[str, Any]


def main() -> None:
    """Measure and report."""
    with _cluster() as kubeconfig, tempfile.TemporaryDirectory() as folder:
        server = _Server(kubeconfig, Path(folder))
        _race(server)
        _rest(server)
        _cold(server)


class _Server:
    """The API server, with kubectl and Helm as processes, and files for them."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.kubeconfig, self.folder = kubeconfig, folder
        self._number = 0

    def kubectl(self, *words: str) -> str:
        command = [str(beside_python("kubectl")), f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def ours(self, act: str, namespace: str, file: Path) -> dict[str, Any]:
        """Run the runtime in a process of its own."""
        command = [sys.executable, "-m", "bench.cluster_side", act, str(self.kubeconfig), namespace, str(file)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    @contextmanager
    def namespace(self) -> Generator[str]:
        self._number += 1
        name = f"bench-{self._number}"
        self.kubectl("create", "namespace", name)
        yield name
        self.kubectl("delete", "namespace", name)

    def file(self, namespace: str, trees: Sequence[Tree]) -> Path:
        path = self.folder / f"{namespace}.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": trees}))
        return path


@contextmanager
def _cluster() -> Generator[Path]:
    if outside := os.environ.get("KUBECONFIG"):
        yield Path(outside)
        return
    command = [sys.executable, "-m", "bateau", "dev", "cluster"]
    up = [*command, "up", "--name", _CLUSTER, "--nodes", "0"]
    started = subprocess.run(up, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **_CONTROLLERS})
    try:
        yield Path(started.stdout.strip())
    finally:
        subprocess.run([*command, "down", "--name", _CLUSTER], check=True)


def deployment(namespace: str, number: int) -> Tree:
    """Return a Deployment as small services have it, without replicas."""
    name = f"s{number}"
    container = {
        "name": "web",
        "image": f"registry.example/{name}:1.4.1",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "LOG", "value": "info"}, {"name": "REGION", "value": "r1"}],
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def config_map(namespace: str, number: int) -> Tree:
    """Return a ConfigMap that kopf's handler watches."""
    metadata = {"name": f"c{number}", "namespace": namespace, "labels": {"bench": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1", "b": "x" * 200}}


def _race(server: _Server) -> None:
    """Apply the same services by each, in turn: first into an empty namespace, then again without a change."""
    requests: list[float] = []

    def bateau(namespace: str, file: Path) -> None:
        requests.append(server.ours("apply", namespace, file)["requests"] / SERVICES)

    def kubectl(_namespace: str, file: Path) -> None:
        server.kubectl("apply", "--server-side", "--filename", str(file))

    def helm(namespace: str, file: Path) -> None:
        chart = server.folder / f"chart-{namespace}"
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: bench\nversion: 1.0.0\n")
        trees = json.loads(file.read_bytes())["items"]
        (chart / "templates" / "all.yaml").write_text("\n---\n".join(map(json.dumps, trees)))
        command = [str(beside_python("helm")), "upgrade", "--install", "bench", str(chart)]
        command += [f"--kubeconfig={server.kubeconfig}", f"--namespace={namespace}"]
        subprocess.run(command, check=True, capture_output=True)

    contenders: Mapping[str, Callable[[str, Path], None]] = {"Bateau": bateau, "kubectl": kubectl, "Helm": helm}
    new: dict[str, list[float]] = {name: [] for name in contenders}
    same: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, act in contenders.items():
            with server.namespace() as namespace:
                file = server.file(namespace, [deployment(namespace, number) for number in range(SERVICES)])
                for runs in (new[name], same[name]):
                    started = time.perf_counter()
                    act(namespace, file)
                    runs.append(time.perf_counter() - started)
    for what, runs in (("new", new), ("unchanged", same)):
        figure(f"Bateau applies {SERVICES:,} services to a cluster, {what}", runs["Bateau"], unit="s")
        for name in ("kubectl", "Helm"):
            ratios = [theirs / ours for theirs, ours in zip(runs[name], runs["Bateau"], strict=True)]
            bound = 5 if (name, what) == ("kubectl", "new") else None
            note = f"{name} takes {statistics.median(runs[name]):.3g} s; a ratio over 1 says that Bateau is faster"
            figure(f"{name} beside Bateau: {SERVICES:,} services, {what}", ratios, unit="", at_least=bound, note=note)
    figure("requests for each applied service, with the inventory and the watches", requests, unit="")


def _rest(server: _Server) -> None:
    with server.namespace() as namespace:
        file = server.file(namespace, [config_map(namespace, number) for number in range(AT_REST)])
        told = server.ours("rest", namespace, file)
    what = f"{AT_REST:,} objects of a cluster at rest"
    figure(f"{what}, CPU", told["cpu"], unit="% of a core", at_most=2)
    figure(f"{what}, resident memory", told["mb"], unit="MB", at_most=250)
    late = statistics.quantiles(told["change_ms"], n=100)[98]
    figure(
        "one changed object among them, until the watch has told it: the 99th of 100",
        [late],
        unit="ms",
        at_most=100,
        note=f"median {statistics.median(told['change_ms']):.3g} ms, over {len(told['change_ms'])} changes",
    )
    figure("requests for one changed object", [told["requests"]], unit="", at_most=1)


def _cold(server: _Server) -> None:
    """Start with objects that exist, and change each of them once."""
    try:
        python = python_with(_KOPF)
    except NotInstalledError as error:
        print(f"kopf: not installed: {error}")
        return
    handler = server.folder / "handler.py"
    handler.write_text(_HANDLER)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        with server.namespace() as namespace:
            trees = [config_map(namespace, number) for number in range(COLD)]
            server.ours("apply", namespace, server.file(namespace, trees))
            for tree in trees:
                tree["data"]["a"] = "handled"
            changed = server.file(namespace, trees)
            started = time.perf_counter()
            server.ours("apply", namespace, changed)
            ours.append(time.perf_counter() - started)
        with server.namespace() as namespace:
            file = server.file(namespace, [config_map(namespace, number) for number in range(COLD)])
            server.kubectl("apply", "--server-side", "--filename", str(file))
            theirs.append(_kopf_seconds(server, python, namespace, handler))
    figure(f"cold start of Bateau until {COLD:,} objects are changed", ours, unit="s")
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    note = f"kopf takes {statistics.median(theirs):.3g} s, with events off; over 1 says that Bateau is faster"
    figure(f"kopf beside Bateau: cold start until {COLD:,} objects are changed", ratios, unit="", note=note)


def _kopf_seconds(server: _Server, python: Path, namespace: str, handler: Path) -> float:
    command = [str(python), "-m", "kopf", "run", "--standalone", "--quiet", "--namespace", namespace, str(handler)]
    started = time.perf_counter()
    with subprocess.Popen(command, env={**os.environ, "KUBECONFIG": str(server.kubeconfig)}) as process:
        try:
            path = "jsonpath={range .items[*]}{.data.a}{'\\n'}{end}"
            words = ("get", "configmaps", f"--namespace={namespace}", "--selector=bench=yes", f"--output={path}")
            while server.kubectl(*words).count("handled") < COLD:
                time.sleep(0.5)
            return time.perf_counter() - started
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
