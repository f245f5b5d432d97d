"""`check` and `render` of a repository of charts, against running `helm template` once for each chart.

The charts have the shapes that once cost most: objects of kinds without a schema, CRDs whose descriptions have the word
"now", 60 values each. A search for origins, or a second run of Helm, for any of them shows as a multiple.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.report import figure

CHARTS = 40
VALUES = 60
RUNS = 3
_HEAD = "apiVersion: bateau.dev/v1alpha1\n"


def main() -> None:
    """Measure and report."""
    helm = shutil.which("helm", path=str(Path(sys.executable).parent)) or shutil.which("helm")
    if helm is None:
        print("charts: Helm is not installed, so nothing is measured")
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, CHARTS)
        alone = min(_alone(helm, root) for _ in range(RUNS))
        for verb in ("check", "render"):
            command = [sys.executable, "-m", "bateau", verb]
            seconds = [cpu_s(command, root) for _ in range(RUNS)]
            figure(
                f"`bateau {verb}` of {CHARTS} charts, CPU time as a multiple of `helm template` alone",
                [each / alone for each in seconds],
                unit="x",
                at_most=2,
                note=f"`helm template` alone takes {alone:.2f} s of CPU time.",
            )


def write(root: Path, count: int) -> None:
    """Write `count` charts, and an App for each."""
    for number in range(count):
        chart = root / "charts" / f"c{number}"
        (chart / "templates").mkdir(parents=True)
        (root / f"c{number}.yaml").write_text(
            f"{_HEAD}kind: App\nmetadata: {{name: c{number}}}\nspec: {{chart: {{source: charts/c{number}}}}}\n"
        )
        for name, text in _chart(number).items():
            (chart / name).write_text(text)


def cpu_s(command: Sequence[str], folder: Path) -> float:
    """Return the CPU time of a command in a directory, and of everything that it starts, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _alone(helm: str, root: Path) -> float:
    return sum(cpu_s([helm, "template", "x", f"charts/c{number}"], root) for number in range(CHARTS))


def _chart(number: int) -> dict[str, str]:
    labels = '{{ include "labels" . | nindent 4 }}'
    monitor = (
        "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\n"
        f"metadata:\n  name: c{number}\n  labels:{labels}\nspec: {{endpoints: [{{port: {{{{ .Values.v1 }}}}}}]}}\n"
    )
    crd = (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        f"metadata: {{name: things.c{number}.example.org}}\n"
        f"spec:\n  group: c{number}.example.org\n  scope: Namespaced\n"
        "  names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}\n"
        "  versions:\n    - name: v1\n      served: true\n      storage: true\n"
        "      schema: {openAPIV3Schema: {type: object, description: it is now deprecated}}\n"
    )
    config = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c{number}\n  labels:{labels}\ndata:\n" + "".join(
        f"  v{each}: {{{{ .Values.v{each} | quote }}}}\n" for each in range(VALUES)
    )
    files = {
        "Chart.yaml": f"apiVersion: v2\nname: c{number}\nversion: 1.0.0\n",
        "values.yaml": "".join(f"v{each}: value-{each}\n" for each in range(VALUES)),
        "templates/_labels.tpl": '{{ define "labels" }}\napp: {{ .Release.Name }}\n{{- end }}\n',
        "templates/config.yaml": config,
    }
    if number % 5 < 2:
        files["templates/monitor.yaml"] = monitor
    if number % 5 == 2:
        files["templates/crd.yaml"] = crd
    return files


if __name__ == "__main__":
    main()
