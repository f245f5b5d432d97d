"""Turn a Helm chart into manifests: the objects that `helm template` prints, each value with its origin.

Called by sources.foreign.documents. It handles `spec.chart`. Helm reads values from files, never from arguments: value
files are passed unchanged, and the values of the spec in a temporary file.

Invariant: the objects are those that Helm printed; no cluster is contacted, and nothing is fetched. Held by
tests/sources/foreign/test_helm.py and tests/sources/foreign/test_program.py.
Refused: the release objects of Helm; the manifests alone define the desired state.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bateau.domain.chart import Chart
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.origin import LazyOrigins
from bateau.domain.problem import Problem
from bateau.domain.workload import Workload
from bateau.kit.json_value import ReadObject
from bateau.kit.position import item
from bateau.ports.foreign import Expansion
from bateau.sources.foreign.chart import ARCHIVES, ChartFiles
from bateau.sources.foreign.chart_values import read_values
from bateau.sources.foreign.helm_chain import TemplatePlaces, chains
from bateau.sources.foreign.helm_errors import problems_of
from bateau.sources.foreign.helm_trace import HelmTrace
from bateau.sources.foreign.helm_unstable import unstable, warnings
from bateau.sources.foreign.hooks import without_others
from bateau.sources.foreign.kustomization import is_elsewhere
from bateau.sources.foreign.naming import directory_of, named_at
from bateau.sources.foreign.program import Ran, find, run
from bateau.sources.foreign.rendering import Rendering, read_rendering
from bateau.sources.foreign.tree import OUTSIDE_HINT, Tree

_SOURCE: Final = "spec.chart.source"
_API_VERSIONS: Final = "spec.chart.apiVersions"
_API_VERSION: Final = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?v[0-9a-z]+(?:/[A-Za-z][A-Za-z0-9]*)?"
).fullmatch
_MISSING: Final = (
    "the chart is not rendered, because Helm is not installed; install it with your system's packages, "
    "or with `go install helm.sh/helm/v4/cmd/helm@latest`"
)
_PULL_HINT: Final = (
    "download it into the repository with `helm pull`, where it is reviewed, and name the directory or .tgz"
)
_RELEASE: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*").fullmatch
_RELEASE_CHARACTERS_MAX: Final = 53


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster that a chart is rendered for: its version ("1.37"), and the API versions that it serves."""

    kubernetes: str
    serves: Callable[[], Iterable[str]]
    namespace: str

    @property
    def version(self) -> str:
        """The version with a patch level, as clusters report it."""
        return self.kubernetes if self.kubernetes.count(".") > 1 else f"{self.kubernetes}.0"


@dataclass(frozen=True, slots=True)
class Helm:
    """Helm with one chart, its value files, a release and a cluster."""

    program: Path
    environ: Mapping[str, str]
    chart: Path
    value_files: Sequence[Path]
    release: str
    cluster: Cluster
    api_versions: Sequence[str]

    def template(self, values: ReadObject, *options: str, copy: Path | None = None) -> Ran:
        """Return what the chart, or a copy of it, renders to with the value files and, over them, `values`."""
        with tempfile.TemporaryDirectory(prefix="bateau-helm-") as folder:
            file = Path(folder, "values.json")
            file.touch(mode=0o600)
            file.write_text(json.dumps(values), encoding="utf-8")
            arguments = [
                "template", f"--namespace={self.cluster.namespace}", f"--kube-version={self.cluster.version}",
                *(f"--api-versions={each}" for each in self.api_versions),
                *(f"--values={_escaped(each)}" for each in (*self.value_files, file)),
                "--include-crds", *options, "--", self.release, str(copy or self.chart),
            ]  # fmt: skip
            return run(self.program, arguments, folder=Path(folder), environ=self.environ)


def expand_chart(
    tree: Tree, service: Workload, chart: Chart, *, cluster: Cluster, environ: Mapping[str, str]
) -> Expansion:
    """Return the objects of a chart."""
    files = _files(tree, service, chart)
    values = read_values(tree, service, chart)
    problems = values if isinstance(values, list) else []
    problems += [files] if isinstance(files, Problem) else _unsound(service, chart, files)
    if problems or isinstance(files, Problem) or isinstance(values, list):
        return Expansion(problems=tuple(problems))
    program = find("helm", environ)
    if program is None:
        where = named_at(service, "spec.chart")
        missing = Finding(rule="foreign", subject=service.key, verdict="not checked", says=_MISSING, where=where)
        return Expansion(findings=(missing,))
    helm = Helm(
        program=program,
        environ=environ,
        chart=Path(os.path.realpath(files.path)),
        value_files=[Path(os.path.realpath(each)) for each in values.files],
        release=chart.release or service.name,
        cluster=cluster,
        api_versions=list(dict.fromkeys((*cluster.serves(), *chart.api_versions))),
    )
    ran = helm.template(values.written)
    if ran.failed:
        return Expansion(problems=tuple(problems_of(ran.failed, files, values.at, named_at(service, _SOURCE))))
    rendering, problems = read_rendering(ran.out, files)
    if problems:
        return Expansion(problems=tuple(problems))
    changing = unstable(files, values, helm.template, rendering)
    trace = HelmTrace(values, files, helm.template, rendering, changing)
    objects = rendering.objects
    kept, findings = without_others(
        [each.found for each in objects],
        service=service.key,
        at=lambda number, _: objects[number].place.at(),
        of_chart=True,
    )
    findings += [*_repeated(service, rendering), *warnings(service.key, rendering, changing)]
    if not kept:
        says = "the chart renders no object with these values"
        where = named_at(service, "spec.chart")
        findings.append(Finding(rule="foreign", subject=service.key, verdict="warning", says=says, where=where))
    manifests = (
        Manifest(
            service=service.key,
            target="foreign",
            tree=objects[number].found.tree,
            origins=LazyOrigins(partial(chains, objects[number], trace), TemplatePlaces(objects[number], trace)),
        )
        for number in kept
    )
    return Expansion(manifests=tuple(manifests), findings=tuple(findings))


def _repeated(service: Workload, rendering: Rendering) -> Iterator[Finding]:
    """Yield a warning for each document of the output that has a key twice: Helm and kubectl take the last one."""
    for each in {id(each.found.document): each for each in rendering.objects}.values():
        if keys := each.found.document.repeated:
            named, line = ", ".join(f"`{key}`" for key in keys), min(keys.values()).line
            says = (
                f"{each.found.kind[1]} {each.found.name} has {named} more than once in the output of `helm template` "
                f"(line {line}); Helm and kubectl use the last one"
            )
            where = each.place.at()
            yield Finding(
                rule="foreign", subject=service.key, verdict="warning", says=each.place.says(says), where=where
            )


def _files(tree: Tree, service: Workload, chart: Chart) -> ChartFiles | Problem:
    """Return the chart that the spec names, or the problem with it."""
    where, source = named_at(service, _SOURCE), chart.source
    if is_elsewhere(source):
        says = f"`{source}` is remote, and Bateau does not fetch charts"
        return Problem(where=where, says=says, hint=_PULL_HINT)
    name = tree.named(source, below=directory_of(service))
    if name is None:
        says = f"`{source}` is outside the directory of the specs"
        return Problem(where=where, says=says, hint=OUTSIDE_HINT)
    tree.need_all(name)
    path = tree.root / name
    if path.is_dir():
        if (path / "Chart.yaml").is_file():
            return ChartFiles(tree, name)
        return Problem(
            where=where,
            says=f"the directory {name} is not a chart: it has no Chart.yaml",
            hint=tree.instead(f"{name}/Chart.yaml"),
        )
    if path.is_file():
        if name.endswith(ARCHIVES):
            return ChartFiles(tree, name)
        hint = "name the directory of the chart, or its .tgz"
        return Problem(where=where, says=f"`{source}` is not a chart", hint=hint)
    return Problem(where=where, says=f"`{source}` does not exist", hint=tree.instead(name) or _PULL_HINT)


def _unsound(service: Workload, chart: Chart, files: ChartFiles) -> list[Problem]:
    found: list[Problem] = []
    release = chart.release or service.name
    if not _RELEASE(release) or len(release) > _RELEASE_CHARACTERS_MAX:
        says = f"`{release}` is not a valid name of a Helm release"
        hint = f"use lower-case letters, digits, '-' and '.', at most {_RELEASE_CHARACTERS_MAX} characters"
        found.append(Problem(where=named_at(service, "spec.chart.release"), says=says, hint=hint))
    for index, version in enumerate(chart.api_versions):
        if not _API_VERSION(version):
            says, hint = f"`{version}` is not an API version", "write GROUP/VERSION or GROUP/VERSION/KIND"
            found.append(Problem(where=named_at(service, item(_API_VERSIONS, index)), says=says, hint=hint))
    if problem := files.unsound(named_at(service, _SOURCE)):
        found.append(problem)
    return found


def _escaped(path: Path) -> str:
    """Return a path as Helm's option for files reads it: a comma separates files, so it needs quotes."""
    text = str(path)
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text
