"""From specs to bundles and plans: 1,000 services for 5 environments, 20 CEL rules.

The peers run beside it in bench.peers, and how it grows is measured by bench.growth.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from bateau.control.comparison import difference
from bateau.control.delivery import deliver
from bateau.control.object_checks import Rules
from bateau.specs import read
from bateau.wiring.schemas import load_schemas
from bench.report import figure
from bench.whole import bundled, laid_out, peak_memory

SERVICES = 1000
ENVIRONMENTS = 5
PLANNED = 4  # environments: their manifests are more than 20,000
RUNS = 5
TODAY = date(2026, 11, 24)
_HEAD = "apiVersion: bateau.dev/v1alpha1\n"


def main() -> None:
    """Measure and report."""
    names = [f"e{number}" for number in range(ENVIRONMENTS)]
    what = f"{SERVICES:,} services x {ENVIRONMENTS} environments"
    with laid_out(specs(SERVICES)) as directory:
        cold: list[float] = []
        memory: list[float] = []
        for _ in range(RUNS):
            with tempfile.TemporaryDirectory() as cache:
                cold.append(bundled(directory, Path(cache), names))
        with tempfile.TemporaryDirectory() as cache, peak_memory() as peak:
            bundled(directory, Path(cache), names)
        memory += peak
        figure(
            f"{what}: read, hydrate, render, strict schemas, 20 rules, digests, provenance, bundles",
            cold,
            unit="s",
            at_most=3,
            note="Nothing known of earlier runs; one process for the first environment, then one for each core.",
        )
        figure("most memory during it, all processes together", memory, unit="MB", at_most=250)
        with tempfile.TemporaryDirectory() as cache:
            bundled(directory, Path(cache), names)
            again = [bundled(directory, Path(cache), names) for _ in range(RUNS)]
            figure(f"{what}: the same again", again, unit="s")
            changed: list[float] = []
            path = directory / "services" / "s7.yaml"
            for number in range(RUNS):
                path.write_text(path.read_text().replace("LOG: info", f"LOG: info, N{number}: x"))
                changed.append(bundled(directory, Path(cache), names))
            figure(f"{what}: again with one file changed", changed, unit="s", at_most=0.15)
    _plans()
    _explain()


def _explain() -> None:
    """Ask where values of the worked example came from, each time in a process of its own."""
    acme = Path(__file__).parent.parent / "examples" / "acme"
    for subject, path in (("shop", "spec.replicas"), ("Deployment/shop", "spec.replicas")):
        command = [sys.executable, "-m", "bateau", "explain", subject, path, "--env", "prod", "-C", str(acme)]
        runs = [_seconds(lambda c=command: subprocess.run(c, check=True, capture_output=True)) for _ in range(2 * RUNS)]
        figure(
            f"`bateau explain {subject} {path}` of examples/acme, the whole process", runs[RUNS:], unit="s", at_most=0.2
        )


def _plans() -> None:
    rules = Rules(schemas=load_schemas(), today=TODAY)
    before, after = read(specs(SERVICES)), read(specs(SERVICES, tag="2"))
    pairs = [(deliver(before, f"e{n}", rules), deliver(after, f"e{n}", rules)) for n in range(PLANNED)]
    count = sum(len(old.manifests) for old, _ in pairs)

    def plan(*, changed: bool) -> None:
        for old, new in pairs:
            difference(new if changed else old, old, environment="e0")

    every = [_seconds(lambda: plan(changed=True)) for _ in range(RUNS)]
    none = [_seconds(lambda: plan(changed=False)) for _ in range(RUNS)]
    figure(f"plan over {count:,} manifests, none changed", none, unit="s", at_most=0.5)
    figure(f"plan over {count:,} manifests, every service changed", every, unit="s")


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


def _seconds(work: "Callable[[], object]") -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
