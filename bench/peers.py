"""Bateau beside the other renderers of manifests, each doing the same work for the same services and environments.

Programs against `bateau render`, libraries against Bateau as a library, in turn, so that what else the machine does
hits all of them. Ratios over 1 say that Bateau is quicker, those below 1 that the peer is.

Invariant: before anything is timed, each peer's objects are compared with Bateau's, field by field.
Refused: counting checks on both sides; peers are asked for half of the objects and no check, and the notes say so.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from bench.peer_inputs import KINDS, expected, write_inputs
from bench.peer_installs import NotInstalledError, beside_python, go_program, go_source, python_with
from bench.report import figure

ROUNDS = 3
SIZES = ((100, 5), (1000, 1))  # services, environments
_BATEAU = {"programs": "`bateau render`", "libraries": "Bateau as a library"}
_HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be rendered: the inputs in `folder`, and a place for output beside it."""

    folder: Path
    output: Path
    services: Sequence[str]
    environments: Sequence[str]
    environ: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Run:
    """How long it took, and what came out: YAML or JSON."""

    seconds: float
    text: str


Render = Callable[[Job], Run]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way of rendering, and the inputs that it reads; `prepare` installs what it needs."""

    name: str
    race: str
    inputs: str
    prepare: Callable[[], Render]
    note: str
    services_max: int = 1000


def main() -> None:
    """Install, compare what is rendered, measure, and report."""
    ready: dict[Contender, Render] = {}
    absent: list[str] = []
    for contender in CONTENDERS:
        try:
            ready[contender] = contender.prepare()
        except NotInstalledError as error:
            print(f"{contender.name}: not installed: {error}")
            absent.append(contender.name)
    for services, environments in SIZES:
        racing = {who: render for who, render in ready.items() if services <= who.services_max}
        runs = _race(racing, services=services, environments=environments)
        _report(runs, f"{services:,} services x {environments} environment{'s' * (environments > 1)}", absent)


def _race(racing: Mapping[Contender, Render], *, services: int, environments: int) -> dict[Contender, list[float]]:
    wanted = _by_name(expected(services=services, environments=environments))
    runs: dict[Contender, list[float]] = {who: [] for who in racing}
    for number in range(ROUNDS + 1):
        for who, render in racing.items():
            # Inputs and caches are new in each round: all renderers see the specs for the first time.
            with tempfile.TemporaryDirectory() as folder:
                run = render(_job(Path(folder), who.inputs, services=services, environments=environments))
            if number == 0:  # nobody's time: programs and libraries come from the disk
                found = _by_name(_objects(run.text))
                assert found == wanted, f"{who.name} renders something else: {_first_difference(found, wanted)}"
            else:
                runs[who].append(run.seconds)
    return runs


def _report(runs: Mapping[Contender, Sequence[float]], what: str, absent: Sequence[str]) -> None:
    for race, name in _BATEAU.items():
        ours = next(seconds for who, seconds in runs.items() if who.name == name)
        for who, seconds in runs.items():
            if who.race != race:
                continue
            if who.name == name:
                missing = f"; not compared, as not installed: {', '.join(absent)}" if absent else ""
                figure(f"{name}, {what}", seconds, unit="s", note=who.note + missing)
            else:
                ratios = [their / our for their, our in zip(seconds, ours, strict=True)]
                figure(f"{who.name} / {name}, {what}", ratios, unit="x", note=who.note)


def _job(folder: Path, inputs: str, *, services: int, environments: int) -> Job:
    write_inputs(folder / "inputs", inputs, services=services, environments=environments)
    return Job(
        folder=folder / "inputs",
        output=folder / "output",
        services=[f"s{number}" for number in range(services)],
        environments=[f"e{number}" for number in range(environments)],
        environ={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )


def _all_at_once(commands: Iterable[Sequence[str | Path]], job: Job) -> Run:
    """Run the commands, as many at a time as there are cores, and gather what they print."""

    def run(command: Sequence[str | Path]) -> str:
        return _process(command, job)[0].decode()

    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outputs = list(pool.map(run, commands))
    seconds = time.perf_counter() - started
    return Run(seconds=seconds, text="\n---\n".join(outputs))


def _process(command: Sequence[str | Path], job: Job) -> tuple[bytes, bytes]:
    """Return what a command wrote to stdout and to stderr."""
    done = subprocess.run(command, cwd=job.folder, env=job.environ, check=False, capture_output=True)
    assert done.returncode == 0, f"{command[:4]} failed: {done.stderr.decode()[-2000:]}"
    return done.stdout, done.stderr


def _bateau_program() -> Render:
    bateau = beside_python("bateau")
    return lambda job: _all_at_once(
        [[bateau, "render", *(word for name in job.environments for word in ("--env", name))]], job
    )


def _kubectl_all() -> Render:
    kubectl = beside_python("kubectl")
    return lambda job: _all_at_once(([kubectl, "kustomize", name] for name in job.environments), job)


def _kubectl_each() -> Render:
    kubectl = beside_python("kubectl")

    def render(job: Job) -> Run:
        commands = ([kubectl, "kustomize", f"{s}/{e}"] for e in job.environments for s in job.services)
        return _all_at_once(commands, job)

    return render


def _helm_program() -> Render:
    helm = go_program("helm.sh/helm/v4/cmd/helm", "v4.3.1")

    def render(job: Job) -> Run:
        values = [f"environments/{name}.json" for name in job.environments]
        return _all_at_once(([helm, "template", "services", ".", "--values", path] for path in values), job)

    return render


def _jsonnet_program() -> Render:
    jsonnet = go_program("github.com/google/go-jsonnet/cmd/jsonnet", "v0.22.0")
    return lambda job: _all_at_once([[jsonnet, "main.jsonnet"]], job)


def _cue_program() -> Render:
    cue = go_program("cuelang.org/go/cmd/cue", "v0.17.1")
    command = [cue, "export", "./environments/...", "--expression", "objects", "--out", "json"]
    return lambda job: _all_at_once([command], job)


def _kapitan_program() -> Render:
    kapitan = python_with("kapitan[reclass-rs]==0.36.3").with_name("kapitan")

    def render(job: Job) -> Run:
        run = _all_at_once([[kapitan, "compile", "--inventory-backend", "reclass-rs"]], job)
        compiled = sorted((job.folder / "compiled").rglob("*.yaml"))
        return Run(seconds=run.seconds, text="".join(path.read_text(encoding="utf-8") for path in compiled))

    return render


def _library(name: str, requirement: str = "") -> Callable[[], Render]:
    """Render in a process that tells how long rendering took; no requirement: in the project's environment."""

    def prepare() -> Render:
        python = python_with(requirement) if requirement else Path(sys.executable)

        def render(job: Job) -> Run:
            # -P: modules beside the script must not stand in for the library's.
            command = [python, "-P", _HERE / "in_process.py", name, job.folder, job.output]
            seconds, _ = _process(command, job)
            return Run(seconds=float(seconds), text=job.output.read_text(encoding="utf-8"))

        return render

    return prepare


def _kustomize_library() -> Render:
    program = go_source(_HERE / "kustomize/main.go", "sigs.k8s.io/kustomize/api", "v0.21.1")

    def render(job: Job) -> Run:
        folders = [f"{service}/{name}" for name in job.environments for service in job.services]
        text, seconds = _process([program, *folders], job)
        return Run(seconds=float(seconds), text=text.decode())

    return render


def _objects(text: str) -> list[dict[str, Any]]:
    """Return the Kubernetes objects in a stream of YAML or JSON, in whatever lists they lie."""
    if text.lstrip().startswith(("{", "[")):
        documents: list[Any] = []
        rest = text.strip()
        while rest:
            document, end = json.JSONDecoder().raw_decode(rest)
            documents.append(document)
            rest = rest[end:].lstrip()
    else:
        documents = list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    found: list[dict[str, Any]] = []
    while documents:
        document = documents.pop()
        if isinstance(document, list):
            documents += cast("list[Any]", document)
        elif isinstance(document, dict) and "spec" not in document and "data" not in document:
            documents += cast("dict[str, Any]", document).values()
        elif isinstance(document, dict):
            found.append(cast("dict[str, Any]", document))
    return found


def _by_name(objects: Iterable[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Key what peers are asked for by environment, kind and name, without the hash of the ConfigMap."""
    named: dict[tuple[str, ...], dict[str, Any]] = {}
    for each in objects:
        if each["kind"] in KINDS:
            if each["kind"] == "Deployment":
                each["spec"]["template"]["metadata"].pop("annotations", None)
            metadata = each["metadata"]
            key = (metadata["labels"]["bateau.dev/environment"], each["kind"], metadata["name"])
            assert key not in named, f"twice: {key}"
            named[key] = each
    return named


def _first_difference(found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> str:
    for key in sorted({*found, *wanted}):
        if found.get(key) != wanted.get(key):
            return f"{key}: {found.get(key)} instead of {wanted.get(key)}"
    return "nothing"


_NONE = "no schema, no policy, no provenance"
_OURS = "six objects a service, schemas, 20 rules, and where each value came from"
CONTENDERS = (
    Contender(
        name=_BATEAU["programs"],
        race="programs",
        inputs="bateau",
        prepare=_bateau_program,
        note=f"one process for all environments, with nothing known of earlier runs: {_OURS}",
    ),
    Contender(
        name="`kubectl kustomize` of all services",
        race="programs",
        inputs="kustomize_all",
        prepare=_kubectl_all,
        note=f"kubectl 1.37, one process an environment, an overlay over one base of all services; {_NONE}",
        services_max=100,  # quadratic: 1,000 services take more than a minute
    ),
    Contender(
        name="`kubectl kustomize` of each service",
        race="programs",
        inputs="kustomize_each",
        prepare=_kubectl_each,
        note="kubectl 1.37, one process a service and environment, as many at once as there are cores; " + _NONE,
        services_max=100,
    ),
    Contender(
        name="`helm template`",
        race="programs",
        inputs="helm",
        prepare=_helm_program,
        note=f"Helm 4.3.1, one process an environment, one chart with all services in its values; {_NONE}",
    ),
    Contender(
        name="`kapitan compile`",
        race="programs",
        inputs="kapitan",
        prepare=_kapitan_program,
        note="Kapitan 0.36.3 with reclass-rs, one process, a target an environment, Jinja2 (its quickest input type); "
        "not asked for its `--validate`; no policy, no provenance",
        services_max=100,
    ),
    Contender(
        name="`jsonnet`",
        race="programs",
        inputs="jsonnet",
        prepare=_jsonnet_program,
        note=f"go-jsonnet 0.22.0, one process for all environments, writes JSON; {_NONE}",
    ),
    Contender(
        name="`cue export`",
        race="programs",
        inputs="cue",
        prepare=_cue_program,
        note="CUE 0.17.1, one process for all environments, writes JSON; types of its inputs only, "
        "though it could hold schemas and rules; no provenance",
    ),
    Contender(
        name=_BATEAU["libraries"],
        race="libraries",
        inputs="bateau",
        prepare=_library("bateau"),
        note=f"a first run in a new process, imports not counted, loading of schemas counted: {_OURS}",
    ),
    Contender(
        name="Kustomize's API, each service",
        race="libraries",
        inputs="kustomize_each",
        prepare=_kustomize_library,
        note=f"kustomize/api 0.21.1 in one Go process, a build a service and environment; {_NONE}",
    ),
    Contender(
        name="Helm's engine",
        race="libraries",
        inputs="helm",
        prepare=_library("helm", "helm-python-sdk==0.2.2"),
        note=f"Helm 4 in helm-python-sdk 0.2.2, chart loaded once; output is text that nothing has parsed; {_NONE}",
    ),
    Contender(
        name="jsonnet (C++)",
        race="libraries",
        inputs="jsonnet",
        prepare=_library("jsonnet", "jsonnet==0.22.0"),
        note=f"jsonnet 0.22.0, one evaluation for all environments, writes JSON; {_NONE}",
    ),
    Contender(
        name="gojsonnet",
        race="libraries",
        inputs="jsonnet",
        prepare=_library("gojsonnet", "gojsonnet==0.22.0"),
        note=f"gojsonnet 0.22.0, one evaluation for all environments, writes JSON; {_NONE}",
    ),
    Contender(
        name="rjsonnet",
        race="libraries",
        inputs="jsonnet",
        prepare=_library("rjsonnet", "rjsonnet==0.5.6"),
        note=f"rjsonnet 0.5.6 (jrsonnet), one evaluation for all environments, writes JSON; {_NONE}",
    ),
    Contender(
        name="KCL",
        race="libraries",
        inputs="kcl",
        prepare=_library("kcl", "kcl-lib==0.13.2"),
        note="kcl-lib 0.13.2, one run an environment; types of its inputs only, "
        "though it could hold schemas and checks; no provenance",
    ),
)

if __name__ == "__main__":
    main()
