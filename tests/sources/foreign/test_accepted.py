"""Valid input that was refused is included, with one finding for each object that needs one (F30)."""

from pathlib import Path
from typing import Any

import pytest

from bateau.kit.json_value import object_at, text_at
from bateau.kit.position import leaves
from bateau.sources.foreign import rendering
from bateau.sources.foreign.objects import read_objects
from bateau.wiring.written import check_directory
from sources.foreign.building import expand, sound, write
from sources.foreign.programs import helm, kubectl

HEAD = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: shop}\nspec:\n"
CHART = "apiVersion: v2\nname: small\nversion: 0.1.0\n"
JOB = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: %s
  annotations:
    %s
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: a, image: a}]}
"""
NOT_RUN = "it is left out, because Bateau does not run hooks when a sync fails or an app is deleted"
PLAIN = "it is applied as a plain object, together with the others, and is not deleted afterwards"


@pytest.mark.parametrize(
    ("annotation", "included", "says"),
    [
        ("argocd.argoproj.io/hook: PreSync", True, f"an Argo CD hook (PreSync); {PLAIN}"),
        (
            "argocd.argoproj.io/hook: SyncFail",
            False,
            f"an Argo CD hook (SyncFail); {NOT_RUN}",
        ),
        ("argocd.argoproj.io/hook: Skip", False, "an Argo CD hook (Skip); it is left out, because Argo CD skips it"),
        ("argocd.argoproj.io/hook: 'PostSync, PostDelete'", True, f"an Argo CD hook (PostDelete, PostSync); {PLAIN}"),
        ("argocd.argoproj.io/hook: Later", True, f"an Argo CD hook (Later) of an unknown type; {PLAIN}"),
        ("helm.sh/hook: pre-install", True, f"a Helm hook (pre-install); {PLAIN}"),
        ("helm.sh/hook: test", False, "a Helm hook (test); it is left out, because Bateau does not run tests"),
        (
            "helm.sh/hook: post-delete",
            False,
            "a Helm hook (post-delete); it is left out, because Bateau does not delete or roll back as Helm does",
        ),
    ],
)
def test_a_hook_in_a_manifest_is_included_or_left_out_and_reported(
    tmp_path: Path, annotation: str, included: bool, says: str
) -> None:
    write(tmp_path, {"shop/job.yaml": f"{JOB % ('a', annotation)}---\n{JOB % ('b', 'x: z')}"})
    expansion = expand(tmp_path, "  manifests: [job.yaml]\n")
    names = [text_at(manifest.tree, "metadata", "name") for manifest in sound(expansion)]
    assert names == (["a", "b"] if included else ["b"])
    (finding,) = expansion.findings
    assert (finding.says, finding.verdict) == (f"Job a is {says}", "warning")
    assert str(finding.where) == f"shop/job.yaml:6:{annotation.index(': ') + 7}"


def test_a_hook_in_a_kustomization_is_reported_in_its_own_file(tmp_path: Path) -> None:
    kubectl()
    write(tmp_path, {
        "shop/kustomization.yaml": "resources: [job.yaml]\nnamePrefix: x-\n",
        "shop/job.yaml": f"{JOB % ('a', 'argocd.argoproj.io/hook: Sync')}---\n"
        f"{JOB % ('b', 'argocd.argoproj.io/hook: PostDelete')}",
    })  # fmt: skip
    expansion = expand(tmp_path, "  kustomization: .\n")
    assert [text_at(manifest.tree, "metadata", "name") for manifest in expansion.manifests] == ["x-a"]
    assert [str(each.where) for each in expansion.findings] == ["shop/job.yaml:6:30", "shop/job.yaml:16:30"]


def test_a_key_that_a_chart_repeats_is_a_warning_and_the_last_one_is_used(tmp_path: Path) -> None:
    """F33: Helm and kubectl use the last one; third-party charts with such an error are installed every day."""
    helm()
    template = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {app: one}\n  labels: {app: two}\n"
        "data: {n: '{{ .Values.n }}'}\n"
    )
    write(tmp_path, {"shop/chart/Chart.yaml": CHART, "shop/chart/templates/a.yaml": template})
    expansion = expand(tmp_path, "  chart: {source: chart, values: {n: 1}}\n")
    (manifest,) = sound(expansion)
    assert object_at(manifest.tree, "metadata", "labels") == {"app": "two"}
    (finding,) = expansion.findings
    assert (str(finding.where), finding.verdict) == ("shop/chart/templates/a.yaml:1:1", "warning")
    assert finding.says == (
        "ConfigMap a has `metadata.labels` more than once in the output of `helm template` (line 8); "
        "Helm and kubectl use the last one"
    )


FLUX = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {cluster: "${cluster}"}}
spec:
  replicas: ${replicas:=2}
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: web, image: web, args: ["${HOME}"]}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: script}
data: {run.sh: "echo ${HOME}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: out, annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled, x: "${y}"}}
"""
SYNC = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps}
spec: {path: ./shop, postBuild: {substitute: {cluster: a}}}
"""
CLUSTER = "`${cluster}` in metadata.labels.cluster and 2 more"
NOT_DONE = "is kept as text, because Bateau does not substitute variables as Flux's postBuild does"


@pytest.mark.parametrize("spec", ["manifests: [web.yaml]", "kustomization: ."])
def test_variables_of_flux_stay_text_and_each_object_has_one_finding(tmp_path: Path, spec: str) -> None:
    """F34."""
    kubectl()
    write(tmp_path, {
        "shop/app.yaml": f"{HEAD}  {spec}\n",
        "shop/web.yaml": FLUX,
        "shop/kustomization.yaml": "resources: [web.yaml]\n",
    })  # fmt: skip
    checked = check_directory(tmp_path)
    assert [f"{each.where} {each.severity} {each.says}" for each in checked.problems] == [
        f"shop/web.yaml:3:41 warning foreign, app/shop: not checked: Deployment web: {CLUSTER} {NOT_DONE}"
    ]
    manifests = sound(expand(tmp_path, f"  {spec}\n"))
    deployment = next(each.tree for each in manifests if each.tree["kind"] == "Deployment")
    assert dict(leaves(deployment))["spec.replicas"] == "${replicas:=2}"


def test_in_scripts_variables_count_where_flux_is_used(tmp_path: Path) -> None:
    write(tmp_path, {"shop/web.yaml": FLUX, "clusters/a/apps.yaml": SYNC})
    says = [each.says for each in expand(tmp_path, "  manifests: [web.yaml]\n").findings]
    assert says[1:] == [f"ConfigMap script: `${{HOME}}` in data['run.sh'] {NOT_DONE}"]


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("# now\ndata: {x: 'call uuidv4 and now'}\n", 1),
        ("data: {x: '{{ .Values.now }} {{/* genCA */}} {{ printf \"now\" }}'}\n", 1),
        ("data: {x: '{{ now | date \"2006\" }}'}\n", 2),
        ("data: {x: '{{- if .Values.n }}{{ randAlphaNum 5 }}{{ end }}'}\n", 2),
        ("data: {x: '{{ tpl .Values.late . }}'}\n", 2),
    ],
)
def test_only_code_that_gives_another_value_each_time_makes_helm_run_twice(
    tmp_path: Path, text: str, runs: int
) -> None:
    """F12: the word `now` in the description of a CRD had every chart rendered twice."""
    log, program = tmp_path / "runs", tmp_path / "bin/helm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho run >> "{log}"\nexec "{helm()}" "$@"\n')
    program.chmod(0o755)
    template = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{text}"
    late = "late: '{{ uuidv4 }}'\nn: 1\n# {{ now }}\n"
    write(tmp_path, {"shop/chart/Chart.yaml": CHART, "shop/chart/templates/a.yaml": template,
                     "shop/chart/values.yaml": late})  # fmt: skip
    expand(tmp_path, "  chart: {source: chart}\n", environ={"PATH": f"{program.parent}:/usr/bin:/bin"})
    assert log.read_text().count("run") == runs


def test_of_the_second_run_only_the_documents_that_differ_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F12: a chart with large CRDs and one random password was parsed twice, which took most of the time."""
    helm()
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
    large = head % "large" + "data: {a: '" + "x" * 10_000 + "'}\n"
    write(tmp_path, {
        "shop/chart/Chart.yaml": CHART,
        "shop/chart/templates/a.yaml": large,
        "shop/chart/templates/b.yaml": head % "b" + "data: {x: '{{ randAlphaNum 5 }}', y: same}\n",
        "shop/chart/templates/c.yaml": large.replace("large", "last"),
    })  # fmt: skip
    sizes: list[int] = []

    def counted(file: str, text: str, **options: Any) -> Any:
        sizes.append(len(text))
        return read_objects(file, text, **options)

    monkeypatch.setattr(rendering, "read_objects", counted)
    expansion = expand(tmp_path, "  chart: {source: chart}\n")
    assert [each.says.partition(":")[2].split(" with")[0] for each in expansion.findings] == [" data.x changes"]
    assert sizes[0] > 20_000
    assert sum(sizes[1:]) < 1_000
