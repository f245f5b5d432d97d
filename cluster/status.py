"""Print the state of a cluster that up.sh started, or of the one that KUBECONFIG names, as text or as JSON.

Called by `bateau dev cluster status`. The layout of the state is known to lib.sh alone.

Invariant: a fact that cannot be read is null in JSON and `unknown` in text. Held by tests/cluster/test_refusals.py.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_ANSWER_S = 10.0
_READ = """
. "$0"
printf '%s\\n' "$STATE" "$BIN"
for name in $(started); do if running "$name"; then echo "$name yes"; else echo "$name no"; fi; done
"""


def main() -> None:
    """Print the status of the cluster that the arguments name."""
    parser = argparse.ArgumentParser(description="Show the state of a cluster.")
    parser.add_argument("--name", default="default")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    outside = os.environ.get("KUBECONFIG")
    found = _outside(outside) if outside else _own(given.name)
    print(json.dumps(found) if given.json else _text(found))


def _outside(kubeconfig: str) -> dict[str, Any]:
    kubectl = shutil.which("kubectl")
    facts = _facts(kubectl, kubeconfig)
    state = "External" if facts["kubernetesVersion"] else "Unreachable"
    return {"name": None, "state": state, "kubeconfig": kubeconfig, "kubectl": kubectl, "processes": [], **facts}


def _own(name: str) -> dict[str, Any]:
    read = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _READ, str(_HERE / "lib.sh")],
        env={**os.environ, "NAME": name},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if read.returncode != 0:
        sys.exit(read.returncode)  # lib.sh has printed the error
    state, binaries, *lines = read.stdout.splitlines()
    processes = [
        {"name": process, "running": answer == "yes", "log": f"{state}/logs/{process}.log"}
        for process, answer in (line.split() for line in lines)
    ]
    kubectl = f"{binaries}/kubectl" if Path(binaries, "kubectl").exists() else None
    kubeconfig = f"{state}/kubeconfig" if processes else None
    running = [each["running"] for each in processes]
    return {
        "name": name,
        "state": ("Running" if all(running) else "Degraded") if any(running) else "Stopped",
        "kubeconfig": kubeconfig,
        "kubectl": kubectl,
        "processes": processes,
        **_facts(kubectl, kubeconfig if any(running) else None),
    }


def _facts(kubectl: str | None, kubeconfig: str | None) -> dict[str, Any]:
    """Return the facts that only the API server has."""
    version = _ask(kubectl, kubeconfig, "--raw=/version")
    nodes = _ask(kubectl, kubeconfig, "nodes", "--output=json") if version else None
    return {
        "kubernetesVersion": version and version["gitVersion"],
        "nodes": None
        if nodes is None
        else [{"name": each["metadata"]["name"], "ready": _ready(each)} for each in nodes["items"]],
    }


def _ask(kubectl: str | None, kubeconfig: str | None, *words: str) -> dict[str, Any] | None:
    if kubectl is None or kubeconfig is None:
        return None
    command = [kubectl, f"--kubeconfig={kubeconfig}", f"--request-timeout={_ANSWER_S:.0f}s", "get", *words]
    done = subprocess.run(command, capture_output=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def _ready(node: dict[str, Any]) -> bool | None:
    status = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}.get("Ready")
    return {"True": True, "False": False}.get(status or "")


def _text(found: dict[str, Any]) -> str:
    lines = [
        ("state", found["state"]),
        ("kubernetes", found["kubernetesVersion"] or ("-" if found["state"] == "Stopped" else "unknown")),
        ("nodes", _nodes(found["nodes"]) if found["state"] != "Stopped" else "-"),
        ("kubeconfig", found["kubeconfig"] or "-"),
        ("kubectl", found["kubectl"] or "-"),
    ]
    lines += [
        (each["name"], "running" if each["running"] else f"exited; see {each['log']}") for each in found["processes"]
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def _nodes(nodes: list[dict[str, Any]] | None) -> str:
    if nodes is None:
        return "unknown"
    words = {True: "Ready", False: "NotReady", None: "unknown"}
    return ", ".join(f"{each['name']} {words[each['ready']]}" for each in nodes) or "none: the control plane alone"


if __name__ == "__main__":
    main()
