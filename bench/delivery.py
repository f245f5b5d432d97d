"""The whole way from specs to manifests: 1,000 services for 5 environments, 20 CEL rules, beside `kubectl kustomize`.

Kustomize renders the same Deployments and Services from plain bases, without checks: it is given less to do.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psutil

from bateau.control.delivery import Rules, deliver, difference
from bateau.kit.yaml_writer import write
from bateau.specs import read
from bateau.wiring.schemas import load_schemas
from bench.report import figure
from bench.whole import whole

SERVICES = 1000
ENVIRONMENTS = 5
KUSTOMIZED = 100  # its one build is quadratic: 1,000 services take minutes
RUNS = 3
TODAY = date(2026, 11, 24)
_HEAD = "apiVersion: bateau.dev/v1alpha1\n"


def main() -> None:
    """Measure and report."""
    rules = Rules(schemas=load_schemas(), today=TODAY)
    texts = specs(SERVICES)
    walls = [whole(texts, rules, environments=ENVIRONMENTS) for _ in range(RUNS)]
    figure(
        f"{SERVICES} services x {ENVIRONMENTS} environments: read, hydrate, render, schemas, 20 rules, write",
        walls,
        unit="s",
        at_most=3,
    )
    figure("resident memory after it", [psutil.Process().memory_info().rss / 1e6], unit="MB", at_most=250)
    desired = deliver(read(texts), "e0", rules)
    observed = deliver(read(specs(SERVICES, tag="2")), "e0", rules)
    plans = [_seconds(lambda: difference(desired, observed, environment="e0")) for _ in range(RUNS)]
    figure(f"plan over {len(desired.manifests)} manifests, every service changed", plans, unit="s")
    same = [_seconds(lambda: difference(desired, desired, environment="e0")) for _ in range(RUNS)]
    figure(f"plan over {len(desired.manifests)} manifests, none changed", same, unit="s", at_most=0.5)
    small = specs(KUSTOMIZED)
    ours = [_seconds(lambda: write(m.tree for m in deliver(read(small), "e0", rules).manifests)) for _ in range(RUNS)]
    kubectl = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if kubectl is None:
        print("kubectl is not installed: kustomize not compared")
        return
    theirs = [_kustomize(kubectl) for _ in range(RUNS)]
    figure(
        f"`kubectl kustomize` / Bateau, {KUSTOMIZED} services, one environment",
        [t / o for t, o in zip(theirs, ours, strict=True)],
        unit="x",
        note="Kustomize: one build of plain Deployments and Services, no checks. Bateau: all objects, all checks.",
    )


def specs(count: int, *, tag: str = "1") -> dict[str, str]:
    """Return the texts of `count` services, their environments, and one policy of 20 rules."""
    texts = {
        f"services/s{number}.yaml": _HEAD
        + f"kind: App\nmetadata: {{name: s{number}, labels: {{team: t{number % 7}}}}}\nspec:\n"
        f"  image: r.example/s{number}:1.4.{tag}\n  ports: {{http: {{protocol: http}}}}\n  health: {{path: /healthz}}\n"
        '  replicas: 2\n  env: {REGION: "${ values.region }", LOG: info}\n  resources: {cpu: 500m, memory: 512Mi}\n'
        for number in range(count)
    }
    for number in range(ENVIRONMENTS):
        texts[f"environments/e{number}.yaml"] = (
            _HEAD + f"kind: Environment\nmetadata: {{name: e{number}}}\nspec:\n  values: {{region: r{number}, n: 3}}\n"
            '  patches: [{match: {name: "s1*"}, set: {spec.replicas: "${ values.n }"}}]\n'
        )
    rules = "".join(
        f"    - {{name: r{number}, check: 'metadata.name != \"forbidden-{number}\"', message: \"'no'\"}}\n"
        for number in range(20)
    )
    texts["policy.yaml"] = (
        _HEAD + "kind: Policy\nmetadata: {name: house}\nspec:\n  match: {kinds: [Deployment], stage: manifest}\n"
        f"  rules:\n{rules}"
    )
    return texts


def _kustomize(kubectl: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        names: list[str] = []
        for number in range(KUSTOMIZED):
            name = f"s{number}.yaml"
            names.append(name)
            Path(folder, name).write_text(_PLAIN.format(name=f"s{number}"))
        listed = "".join(f"- {name}\n" for name in names)
        Path(folder, "kustomization.yaml").write_text(f"namespace: default\nresources:\n{listed}")
        command = [kubectl, "kustomize", folder]
        return _seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def _seconds(work: "Callable[[], object]") -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


_PLAIN = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: r.example/x:1}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}
"""

if __name__ == "__main__":
    main()
