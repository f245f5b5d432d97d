"""Charts: what Helm renders, each value with the line of its template and the values that it depends on."""

import os
import subprocess
import tarfile
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from bateau.domain.manifest import Manifest
from bateau.kit.json_value import array_at, object_at, text_at
from bateau.kit.yaml_go import KUBECTL
from bateau.kit.yaml_tree import read_documents
from bateau.sources.foreign import ForeignDocuments, helm_trace
from sources.foreign.building import chain, expand, service_of, shown, sound, stories, write
from sources.foreign.programs import helm

DATA = Path(__file__).parent / "data"
SEARCH = """\
  chart:
    source: ../charts/search
    release: acme
    values:
      replicas: 3
      image: {tag: "8.2"}
      env:
        - name: LEVEL
          value: debug
"""
CHART = "apiVersion: v2\nname: small\nversion: 0.1.0\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: small}\n"
SMALL = "  chart:\n    source: chart\n"
OF_CHART = "of the chart's values.yaml"
UNKNOWN = "template; the line is not known"
TEMPLATES = "charts/search/templates"


@pytest.fixture(autouse=True)
def _helm() -> None:
    helm()


@pytest.fixture(scope="module")
def rendered() -> dict[str, Manifest]:
    """The example's objects by kind."""
    helm()
    return {str(manifest.tree["kind"]): manifest for manifest in sound(expand(DATA, SEARCH))}


def test_what_comes_out_is_what_helm_renders_but_for_hooks_of_tests_and_deletions(
    rendered: dict[str, Manifest], tmp_path: Path
) -> None:
    (tmp_path / "values.yaml").write_text("replicas: 3\nimage: {tag: '8.2'}\nenv: [{name: LEVEL, value: debug}]\n")
    command = [helm(), "template", "acme", str(DATA / "charts/search"), "--include-crds", "--kube-version=1.37"]
    done = subprocess.run([*command, "-f", str(tmp_path / "values.yaml")], capture_output=True, check=True)
    documents, _ = read_documents("out", done.stdout.decode(), dialect=KUBECTL)
    left_out = ("acme-answers", "acme-post-delete")
    trees: list[Any] = [each.tree for each in documents if text_at(each.tree, "metadata", "name") not in left_out]
    assert [manifest.tree for manifest in rendered.values()] == trees
    assert list(rendered) == ["CustomResourceDefinition", "ConfigMap", "Service", "Deployment", "Job"]


def test_words_are_read_as_helm_and_kubectl_do(rendered: dict[str, Manifest]) -> None:
    container = object_at(array_at(rendered["Deployment"].tree, "spec", "template", "spec", "containers")[0])
    assert (container["stdin"], container["tty"]) == (False, True)


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        (
            "Deployment",
            "spec.replicas",
            [
                "shop/app.yaml:9:17 3 depends on spec.chart.values.replicas",
                f"{TEMPLATES}/deployment.yaml:8:13 3 template",
            ],
        ),
        (
            "Deployment",
            "spec.template.spec.containers[0].image",
            [
                "shop/app.yaml:10:20 '8.2' depends on spec.chart.values.image.tag",
                f"charts/search/values.yaml:4:15 'registry.example.org/search' depends on image.repository {OF_CHART}",
                f"{TEMPLATES}/deployment.yaml:23:18 'registry.example.org/search:8.2' template",
            ],
        ),
        (
            "Deployment",
            "spec.template.spec.containers[0].env[0].value",
            [
                "shop/app.yaml:13:18 'debug' depends on spec.chart.values.env[0].value",
                f"{TEMPLATES}/deployment.yaml:30:11 'debug' template; at or below this line",
            ],
        ),
        (
            "Deployment",
            "metadata.labels['app.kubernetes.io/instance']",
            [f"{TEMPLATES}/_names.tpl:6:29 'acme' template"],
        ),
        (
            "Deployment",
            "spec.selector.matchLabels['app.kubernetes.io/instance']",
            [f"{TEMPLATES}/deployment.yaml:11:35 'acme' template"],
        ),
        (
            "Deployment",
            "spec.template.spec.containers[0].securityContext",
            [f"{TEMPLATES}/deployment.yaml:33:28 {{}} template"],
        ),
        ("CustomResourceDefinition", "spec.names.kind", ["charts/search/crds/index.yaml:8:17 'Index'"]),
        (
            "ConfigMap",
            "data.size",
            [
                f"charts/search/values.yaml:14:9 64 depends on memory.size {OF_CHART}",
                "charts/search/charts/cache/templates/config.yaml:6:9 '64' template",
            ],
        ),
    ],
)
def test_a_value_names_the_line_of_its_template_and_what_it_moves_with(
    rendered: dict[str, Manifest], kind: str, path: str, expected: list[str]
) -> None:
    assert chain(rendered[kind], path) == expected


def test_an_object_that_a_value_switches_on_says_so(tmp_path: Path) -> None:
    copytree(DATA / "charts", tmp_path / "charts")
    manifests = sound(expand(tmp_path, "  chart: {source: ../charts/search, values: {exposed: true}}\n"))
    (ingress,) = [each for each in manifests if each.tree["kind"] == "Ingress"]
    assert chain(ingress, "spec.defaultBackend.service.port.name") == [
        "shop/app.yaml:5:55 True the object depends on spec.chart.values.exposed",
        f"{TEMPLATES}/service.yaml:22:20 'http' template",
    ]
    assert chain(ingress, "metadata.name")[-1] == f"{TEMPLATES}/service.yaml:17:9 'shop-search' template"


def test_hooks_are_told_and_those_of_tests_and_deletions_left_out() -> None:
    applied, left_out = expand(DATA, SEARCH).findings
    assert applied.says == (
        "Job acme-pre-install-pre-upgrade is a Helm hook (pre-install, pre-upgrade); it is applied as a plain object, "
        "together with the others, and is not deleted afterwards"
    )
    assert left_out.says == (
        "Job acme-post-delete is a Helm hook (post-delete); it is left out, because Bateau does not delete or roll "
        "back as Helm does"
    )
    assert {applied.verdict, left_out.verdict} == {"warning"}
    assert {str(applied.where), str(left_out.where)} == {f"{TEMPLATES}/hooks.yaml:1:1"}


def test_an_archive_is_a_chart_and_names_the_templates_in_it(tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    with tarfile.open(tmp_path / "charts/search-1.2.0.tgz", "w:gz") as archive:
        archive.add(DATA / "charts/search", "search")
    manifests = sound(expand(tmp_path, SEARCH.replace("charts/search", "charts/search-1.2.0.tgz")))
    deployment, crd = manifests[3], manifests[0]
    assert chain(deployment, "spec.replicas") == [
        "shop/app.yaml:9:17 3 depends on spec.chart.values.replicas",
        "charts/search-1.2.0.tgz:1:1 3 templates/deployment.yaml in the archive: line 8 of the template",
    ]
    assert chain(crd, "spec.group") == [
        "charts/search-1.2.0.tgz:1:1 'search.example.org' crds/index.yaml in the archive: unchanged"
    ]


def test_a_chart_in_an_archive_in_the_charts_directory_is_found(tmp_path: Path) -> None:
    copytree(DATA / "charts", tmp_path / "charts")
    charts = tmp_path / "charts/search/charts"
    with tarfile.open(charts / "cache-0.1.0.tgz", "w:gz") as archive:
        archive.add(DATA / "charts/search/charts/cache", "cache")
    for path in sorted((charts / "cache").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (charts / "cache").rmdir()
    config = sound(expand(tmp_path, SEARCH))[1]
    assert chain(config, "data.size") == [
        f"charts/search/values.yaml:14:9 64 depends on memory.size {OF_CHART}",
        f"charts/search/charts/cache-0.1.0.tgz:1:1 '64' templates/config.yaml in the archive: {UNKNOWN}",
    ]


def test_release_and_namespace_reach_the_templates(tmp_path: Path) -> None:
    names = ("Release.Namespace", "Release.Name", "Capabilities.KubeVersion")
    template = CONFIG + "data:\n" + "".join(f"  {name}: {{{{ .{name} }}}}\n" for name in names)
    write(tmp_path, {"shop/chart/Chart.yaml": CHART, "shop/chart/templates/x.yaml": template})
    (manifest,) = sound(expand(tmp_path, SMALL, namespace="prod"))
    assert list(object_at(manifest.tree, "data").values()) == ["prod", "shop", "v1.37.0"]


def test_values_of_every_type_arrive_as_they_are(tmp_path: Path) -> None:
    template = f"{CONFIG}data:\n  all: |\n    {{{{ .Values | toJson }}}}\n"
    write(tmp_path, {"shop/chart/Chart.yaml": CHART, "shop/chart/templates/x.yaml": template,
                     "shop/chart/values.yaml": "gone: 1\n"})  # fmt: skip
    values = "{a: 1, b: 1.5, c: 'on', d: true, e: [x, {}], f: {g: 'ü \"'}, h: ''}"
    (manifest,) = sound(expand(tmp_path, f"{SMALL}    values: {values}\n"))
    expected = '{"a":1,"b":1.5,"c":"on","d":true,"e":["x",{}],"f":{"g":"ü \\""},"gone":1,"h":""}\n'
    assert manifest.tree["data"] == {"all": expected}


def test_values_are_in_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/helm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {helm()} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    copytree(DATA / "charts", tmp_path / "charts")
    spec = SEARCH.replace("debug", "not-a-real-secret")
    sound(expand(tmp_path, spec, environ={"PATH": f"{program.parent}:{os.environ['PATH']}"}))
    arguments = (tmp_path / "arguments").read_text()
    assert "--values=" in arguments
    assert "secret" not in arguments


def test_what_is_made_anew_each_time_is_told(tmp_path: Path) -> None:
    template = f"{CONFIG}data:\n  password: {{{{ randAlphaNum 12 }}}}\n  level: {{{{ .Values.level }}}}\n"
    write(tmp_path, {"shop/chart/Chart.yaml": CHART, "shop/chart/templates/x.yaml": template})
    expansion = expand(tmp_path, f"{SMALL}    values: {{level: debug}}\n")
    (manifest,) = sound(expansion)
    (finding,) = expansion.findings
    assert (str(finding.where), finding.path) == ("shop/chart/templates/x.yaml:1:1", "data.password")
    assert finding.says == (
        "ConfigMap small: data.password changes with each rendering, so every plan shows a change; "
        "set a value for it in spec.chart.values"
    )
    (origin,) = manifest.origins["data.password"]
    assert origin.says == f"{UNKNOWN}; different at each rendering"
    assert chain(manifest, "data.level")[0] == "shop/app.yaml:7:21 'debug' depends on spec.chart.values.level"


def test_where_the_bounds_end_the_search_the_chain_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_trace, "TRIALS_MAX", 2)
    monkeypatch.setattr(helm_trace, "_DEFAULTS_TRIALS_MAX", 2)
    write(tmp_path, {"shop/chart/Chart.yaml": CHART, "shop/chart/values.yaml": "d: 1\n",
                     "shop/chart/templates/x.yaml": f"{CONFIG}data: {{c: '{{{{ .Values.c }}}}'}}\n"})  # fmt: skip
    (manifest,) = sound(expand(tmp_path, f"{SMALL}    values: {{a: 1, b: 2, c: 3}}\n"))
    assert chain(manifest, "data.c") == [
        "None None the search ended early, so other entries or values may have set it",
        "shop/chart/templates/x.yaml:4:11 '3' template",
    ]


def test_values_of_a_list_of_the_chart_move_one_by_one(tmp_path: Path) -> None:
    template = f"{CONFIG}data:\n  one: {{{{ index .Values.list 0 }}}}\n  two: {{{{ (index .Values.list 1).x }}}}\n"
    write(tmp_path, {"shop/chart/Chart.yaml": CHART, "shop/chart/templates/x.yaml": template,
                     "shop/chart/values.yaml": "list:\n  - a\n  - x: b\n    y: c\n"})  # fmt: skip
    (manifest,) = sound(expand(tmp_path, SMALL))
    assert (
        chain(manifest, "data.one")[0] == "shop/chart/values.yaml:2:5 'a' depends on list[0] of the chart's values.yaml"
    )
    assert (
        chain(manifest, "data.two")[0]
        == "shop/chart/values.yaml:3:8 'b' depends on list[1].x of the chart's values.yaml"
    )


def test_where_a_comment_changes_the_value_its_line_is_not_known(tmp_path: Path) -> None:
    """The marks change checksums and texts of several lines; the lines of the values next to them are known."""
    copytree(DATA / "charts/unmarked", tmp_path / "shop/chart")
    first, second = sound(expand(tmp_path, SMALL))
    assert chain(first, "data.text") == ["shop/chart/templates/a.yaml:6:9 'key: value\\n' template"]
    assert chain(first, "data.sum")[0].endswith(UNKNOWN)
    assert chain(first, "data.last") == ["shop/chart/templates/a.yaml:9:9 'x' template"]
    assert chain(second, "data.text") == [f"shop/chart/templates/b.yaml:1:1 'over key: lines' {UNKNOWN}"]
    assert chain(second, "data.last") == ["shop/chart/templates/b.yaml:8:9 'x' template"]


def test_where_a_comment_breaks_a_template_that_one_goes_without(tmp_path: Path) -> None:
    """JSON is read back from a helper of the chart, and has no comments."""
    copytree(DATA / "charts/unmarked", tmp_path / "shop/chart")
    first, _, third = sound(expand(tmp_path, f"{SMALL}    values: {{harm: true}}\n"))
    assert chain(first, "data.last") == ["shop/chart/templates/a.yaml:9:9 'x' template"]
    assert chain(third, "data.a") == [
        "shop/app.yaml:7:20 True the object depends on spec.chart.values.harm",
        f"shop/chart/templates/c.yaml:1:1 'b' {UNKNOWN}",
    ]


def test_the_same_files_give_the_same_objects(rendered: dict[str, Manifest]) -> None:
    again = sound(expand(DATA, SEARCH))
    assert [each.tree for each in again] == [each.tree for each in rendered.values()]
    assert [dict(each.origins) for each in again] == [dict(each.origins) for each in rendered.values()]


@pytest.mark.parametrize(("text", "expected"), stories("not-rendered.txt"))
def test_what_helm_refuses_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    name, _, content = text.partition("\n")
    files = {"Chart.yaml": CHART, "templates/y.yaml": "", name: content}
    if name.endswith(".tpl"):
        files["templates/y.yaml"] = '{{- include "deep" . }}'
    write(tmp_path, {f"shop/chart/{each}": text for each, text in files.items()})
    values = '    values:\n      level: high\n      list: [1]\n      "a.b": 1\n'
    expansion = expand(tmp_path, f"{SMALL}{values}")
    assert shown(expansion.problems) == expected
    assert expansion.manifests == ()


@pytest.mark.parametrize(
    ("named", "expected", "hint"),
    [
        ("oci://registry.example.org/shop", "is remote, and Bateau does not fetch charts", "helm pull"),
        (
            "https://charts.example.org/shop-1.0.tgz",
            "is remote, and Bateau does not fetch charts",
            "helm pull",
        ),
        ("bitnami/redis", "does not exist", "there is no directory `shop/bitnami`"),
        ("chert", "does not exist", "did you mean `chart`?"),
        ("../../chart", "is outside the directory of the specs", "copy"),
        ("linked", "is outside the directory of the specs", "copy"),
        ("file.txt", "is not a chart", "name the directory"),
    ],
)
def test_what_is_named_wrong_is_told_in_the_spec(tmp_path: Path, named: str, expected: str, hint: str) -> None:
    root = tmp_path / "root"
    write(tmp_path, {"out/Chart.yaml": CHART})
    write(root, {"shop/chart/Chart.yaml": CHART, "shop/file.txt": ""})
    (root / "shop/linked").symlink_to(tmp_path / "out")
    (problem,) = expand(root, f"  chart:\n    source: {named}\n").problems
    assert (str(problem.where), problem.says) == ("shop/app.yaml:6:13", f"`{named}` {expected}")
    assert hint in (problem.hint or "")


def test_a_directory_without_a_chart_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"shop/chart/chart.yaml": CHART})
    (problem,) = expand(tmp_path, SMALL).problems
    assert (problem.says, problem.hint) == (
        "the directory shop/chart is not a chart: it has no Chart.yaml",
        "did you mean `chart.yaml`?",
    )


@pytest.mark.parametrize("release", ["Acme", "--post-renderer=x", "a" * 54])
def test_a_release_that_helm_would_refuse_or_misunderstand_is_told(tmp_path: Path, release: str) -> None:
    write(tmp_path, {"shop/chart/Chart.yaml": CHART})
    (problem,) = expand(tmp_path, f"{SMALL}    release: '{release}'\n").problems
    assert (str(problem.where), problem.says) == (
        "shop/app.yaml:7:14",
        f"`{release}` is not a valid name of a Helm release",
    )


def test_a_link_out_of_the_tree_is_not_shown_to_helm(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, {"shop/chart/Chart.yaml": CHART, "shop/chart/files/readme": ""})
    write(tmp_path, {"secret": "x"})
    (root / "shop/chart/files/link").symlink_to(tmp_path / "secret")
    (problem,) = expand(root, SMALL).problems
    assert problem.says == "the link `shop/chart/files/link` leads out of the directory of the specs"


def test_a_chart_that_gives_nothing_says_so(tmp_path: Path) -> None:
    write(tmp_path, {"shop/chart/Chart.yaml": CHART, "shop/chart/templates/x.yaml": "{{ if .Values.on }}a{{ end }}"})
    expansion = expand(tmp_path, SMALL)
    (finding,) = expansion.findings
    assert (str(finding.where), finding.says) == ("shop/app.yaml:6:5", "the chart renders no object with these values")
    assert sound(expansion) == ()


def test_of_a_program_that_breaks_one_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/helm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf 'panic: index out of range\\ngoroutine 1 [running]:\\n' >&2; exit 2\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    write(tmp_path, {"shop/chart/Chart.yaml": CHART})
    (problem,) = expand(tmp_path, SMALL, environ={"PATH": f"{program.parent}:{os.environ['PATH']}"}).problems
    assert problem.says == "Helm cannot render this chart: Helm crashed with panic: index out of range"


def test_a_broken_archive_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"shop/chart.tgz": "no archive"})
    (problem,) = expand(tmp_path, "  chart: {source: chart.tgz}\n").problems
    assert problem.says.startswith("Helm cannot render this chart: ")


def test_without_helm_nothing_is_checked_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    write(tmp_path, {"shop/chart/Chart.yaml": CHART})
    expansion = expand(tmp_path, SMALL, environ={"PATH": "/nowhere"})
    (finding,) = expansion.findings
    assert (finding.rule, finding.verdict, str(finding.where)) == ("foreign", "not checked", "shop/app.yaml:6:5")
    assert finding.says.startswith("the chart is not rendered, because Helm is not installed")
    assert (expansion.manifests, expansion.problems) == ((), ())


def test_other_values_are_another_question(tmp_path: Path) -> None:
    copytree(DATA / "charts", tmp_path / "charts")
    foreign = ForeignDocuments(tmp_path, environ={"PATH": os.environ["PATH"]})
    first = foreign.expand(service_of(SEARCH), namespace="a")
    assert foreign.expand(service_of(SEARCH), namespace="a") is first
    other = foreign.expand(service_of(SEARCH.replace("3", "4")), namespace="a")
    assert object_at(other.manifests[3].tree, "spec")["replicas"] == 4
