"""Value files and API versions of a chart: Helm is given both, and every value keeps its file and line."""

import subprocess
from pathlib import Path

import pytest

from bateau.kit.json_value import object_at, text_at
from bateau.kit.yaml_go import KUBECTL
from bateau.kit.yaml_tree import read_documents
from bateau.sources.foreign import ForeignDocuments
from bateau.wiring.schemas import api_versions
from sources.foreign.building import chain, expand, service_of, shown, sound, write
from sources.foreign.programs import helm

CHART = "apiVersion: v2\nname: small\nversion: 0.1.0\n"
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: small}
data:
  level: {{ .Values.level | quote }}
  size: {{ .Values.cache.size | quote }}
  host: {{ .Values.cache.host | quote }}
  mode: {{ .Values.mode | quote }}
  list: {{ .Values.list | toJson | quote }}
  gone: {{ .Values.gone | quote }}
"""
FILES = {
    "shop/chart/Chart.yaml": CHART,
    "shop/chart/templates/x.yaml": TEMPLATE,
    "shop/chart/values.yaml": "level: info\ncache: {size: 1, host: chart}\nmode: 0\nlist: [a, b]\ngone: here\n",
    "shop/base.yaml": "level: debug\ncache:\n  size: 2\n  host: base\nmode: 0644\nlist: [c]\n",
    "values/prod.yaml": "# of production\ncache:\n  host: prod\nlist:\n  - d\n  - e\ngone: null\n",
}
SPEC = """\
  chart:
    source: chart
    valueFiles: [base.yaml, ../values/prod.yaml]
    values: {cache: {size: 3}}
"""


@pytest.fixture(autouse=True)
def _helm() -> None:
    helm()


def test_values_are_those_that_helm_reads_from_the_same_files(tmp_path: Path) -> None:
    """F31: valueFiles, in order, below `values`; `0644` is 420 as for `helm -f`."""
    write(tmp_path, FILES)
    (manifest,) = sound(expand(tmp_path, SPEC))
    command = [helm(), "template", "shop", str(tmp_path / "shop/chart"), "-f", str(tmp_path / "shop/base.yaml")]
    command += ["-f", str(tmp_path / "values/prod.yaml"), "--set", "cache.size=3"]
    out = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    (document,), _ = read_documents("out", out, dialect=KUBECTL)
    assert manifest.tree == document.tree
    assert manifest.tree["data"] == {
        "level": "debug", "size": "3", "host": "prod", "mode": "420", "list": '["d","e"]', "gone": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data.size", "shop/app.yaml:8:28 3 depends on spec.chart.values.cache.size"),
        ("data.level", "shop/base.yaml:1:8 'debug' depends on level of shop/base.yaml"),
        ("data.host", "values/prod.yaml:3:9 'prod' depends on cache.host of values/prod.yaml"),
        ("data.mode", "shop/base.yaml:5:7 420 depends on mode of shop/base.yaml"),
        ("data.list", "values/prod.yaml:5:5 'd' depends on list[0] of values/prod.yaml"),
    ],
)
def test_a_value_of_a_file_names_its_file_and_line(tmp_path: Path, path: str, expected: str) -> None:
    write(tmp_path, FILES)
    (manifest,) = sound(expand(tmp_path, SPEC))
    assert chain(manifest, path)[0] == expected


def test_a_comma_in_the_name_of_a_value_file_is_no_second_file(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    write(tmp_path, {'shop/eu,"us".yaml': "level: warn\n"})
    spec = "  chart: {source: chart, valueFiles: ['eu,\"us\".yaml']}\n"
    (manifest,) = sound(expand(tmp_path, spec))
    assert text_at(manifest.tree, "data", "level") == "warn"


def test_what_the_schema_of_a_chart_refuses_is_shown_in_the_value_file(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    schema = '{"properties": {"level": {"enum": ["info"]}, "cache": {"properties": {"size": {"maximum": 2}}}}}'
    write(tmp_path, {"shop/chart/values.schema.json": schema})
    expansion = expand(tmp_path, SPEC)
    assert [str(problem.where) for problem in expansion.problems] == ["shop/app.yaml:8:28", "shop/base.yaml:1:8"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("https://example.org/v.yaml", "`https://example.org/v.yaml` is remote, and Bateau does not fetch value files"),
        ("../../v.yaml", "`../../v.yaml` is outside the directory of the specs"),
        ("chart", "`chart` is a directory"),
        ("bose.yaml", "`bose.yaml` does not exist"),
    ],
)
def test_a_value_file_that_cannot_be_read_is_reported_where_the_spec_names_it(
    tmp_path: Path, named: str, expected: str
) -> None:
    write(tmp_path, FILES)
    expansion = expand(tmp_path, f"  chart:\n    source: chart\n    valueFiles: [base.yaml, '{named}']\n")
    (problem,) = expansion.problems
    assert (str(problem.where), problem.says) == ("shop/app.yaml:7:29", expected)
    assert problem.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: [1\n",
            "shop/base.yaml:2:1  a `[` is not closed before this\nhint: close it, or put a comma between its items\n",
        ),
        ("- a\n", "shop/base.yaml:1:1  a value file is a map of values\nhint: write `key: value` lines\n"),
    ],
)
def test_a_value_file_with_an_error_is_reported_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, {**FILES, "shop/base.yaml": text})
    assert shown(expand(tmp_path, SPEC).problems) == expected


def test_an_empty_value_file_sets_nothing(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "shop/base.yaml": "# nothing\n", "values/prod.yaml": ""})
    (manifest,) = sound(expand(tmp_path, SPEC))
    assert text_at(manifest.tree, "data", "level") == "info"


def test_templates_find_the_api_versions_that_kubernetes_serves_and_those_of_the_spec(tmp_path: Path) -> None:
    """F15: prometheus-adapter asks for apiregistration.k8s.io/v1; ServiceMonitors need monitoring.coreos.com/v1."""
    asked = ("apiregistration.k8s.io/v1", "apps/v1/Deployment", "monitoring.coreos.com/v1", "acme.org/v1/Thing", "x/v1")
    lines = "".join(f"  a{n}: '{{{{ .Capabilities.APIVersions.Has \"{each}\" }}}}'\n" for n, each in enumerate(asked))
    template = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: small}}\ndata:\n{lines}"
    write(tmp_path, {"shop/chart/Chart.yaml": CHART, "shop/chart/templates/x.yaml": template})
    foreign = ForeignDocuments(tmp_path, environ={"PATH": ""}, serves=lambda: api_versions("1.37"))
    versions = "[monitoring.coreos.com/v1, acme.org/v1/Thing]"
    service = service_of(f"  chart: {{source: chart, apiVersions: {versions}}}\n")
    (manifest,) = sound(foreign.expand(service, namespace="default"))
    assert list(object_at(manifest.tree, "data").values()) == ["true", "true", "true", "true", "false"]


@pytest.mark.parametrize("version", ["monitoring.coreos.com", "a/v1,b/v1", "--set", "a/v1/b/c", ""])
def test_what_is_not_an_api_version_is_reported(tmp_path: Path, version: str) -> None:
    write(tmp_path, FILES)
    (problem,) = expand(tmp_path, f"  chart:\n    source: chart\n    apiVersions: [v1, '{version}']\n").problems
    assert (str(problem.where), problem.says) == ("shop/app.yaml:7:23", f"`{version}` is not an API version")
