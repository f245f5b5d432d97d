"""Findings are placed without a search for origins: each program runs once for `check`, and once more for a line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bateau.domain.origin import place
from bateau.wiring.written import Checked, check_directory
from sources.foreign.building import expand, sound, write
from sources.foreign.programs import helm, kubectl

Count = Callable[[], int]

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
APP = f"{HEAD}kind: App\nmetadata: {{name: shop}}\nspec:\n  %s\n"
BOAT = "apiVersion: boats.dev/v1\nkind: Boat\nmetadata: {name: shop}\nspec: {length: {{ .Values.a1 }}}\n"
CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\n",
    "chart/values.yaml": "".join(f"a{number}: {number}\n" for number in range(40)),
    "chart/templates/boat.yaml": BOAT,
}
POLICY = f"""{HEAD}kind: Policy
metadata: {{name: house}}
spec:
  match: {{kinds: [ConfigMap]}}
  rules:
    - {{name: owner, check: "has(metadata.labels)", message: "no owner"}}
  exceptions:
    - {{owner: me, reason: later, until: "2999-01-01", names: [other]}}
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Return how often Helm or kubectl has been started."""
    log, folder = tmp_path / "runs", tmp_path / "bin"
    folder.mkdir()
    for name, program in (("helm", helm()), ("kubectl", kubectl())):
        shim = folder / name
        shim.write_text(f'#!/bin/sh\necho {name} >> "{log}"\nexec "{program}" "$@"\n')
        shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def _checked(root: Path, files: dict[str, str], spec: str) -> Checked:
    write(root, {"app.yaml": APP % spec, **files})
    return check_directory(root)


def _shown(checked: Checked) -> list[str]:
    return [f"{problem.where}  {problem.says}" for problem in checked.problems]


def test_a_remark_about_an_object_of_a_chart_needs_no_run_of_helm(tmp_path: Path, runs: Count) -> None:
    """F12: a kind without a schema, and a rule without a path, cost 53 runs."""
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\n"
    files = {**CHART, "chart/templates/config.yaml": config, "policy.yaml": POLICY}
    checked = _checked(tmp_path / "repo", files, "chart: {source: chart}")
    assert [each.partition("  ")[0] for each in _shown(checked)] == [
        "chart/templates/boat.yaml:1:1",
        "chart/templates/config.yaml:1:1",
    ]
    assert runs() == 1


def test_the_line_of_an_error_in_a_chart_needs_one_more_run(tmp_path: Path, runs: Count) -> None:
    """F12: the last step of a chain is the line of the template; which values it depends on is not asked."""
    wrong = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata:\n  a: {{ .Values.a1 }}\n  b: {{ .Values.a2 }}\n"
    )
    files = {**CHART, "chart/templates/boat.yaml": wrong}
    checked = _checked(tmp_path / "repo", files, "chart: {source: chart}")
    assert _shown(checked) == [
        "chart/templates/boat.yaml:5:6  schema, ConfigMap shop: `data.a` must be a string, but is the integer 1",
        "chart/templates/boat.yaml:6:6  schema, ConfigMap shop: `data.b` must be a string, but is the integer 2",
    ]
    assert runs() == 2


def test_a_remark_about_an_object_of_a_kustomization_is_placed_in_its_file(tmp_path: Path, runs: Count) -> None:
    """F22: with a prefix for all names, all remarks stood at the prefix."""
    boats = "".join(f"---\napiVersion: boats.dev/v1\nkind: Boat\nmetadata:\n  name: {name}\n" for name in ("a", "b"))
    files = {
        "base/kustomization.yaml": "resources: [boats.yaml]\nnamePrefix: x-\n",
        "base/boats.yaml": boats,
    }
    checked = _checked(tmp_path / "repo", files, "kustomization: base")
    assert [each.partition("  ")[0] for each in _shown(checked)] == ["base/boats.yaml:5:9", "base/boats.yaml:10:9"]
    assert runs() == 1


def test_equal_names_in_two_bases_are_told_apart_by_one_more_build(tmp_path: Path, runs: Count) -> None:
    """F22: the name of an object is that of two documents, or contains the names of two."""
    files = {"shop/kustomization.yaml": "resources: [../a, ../b]\n"}
    for name in ("a", "b"):
        boats = "".join(
            f"---\napiVersion: boats.dev/v1\nkind: Boat\nmetadata:\n  name: {each}\n" for each in ("x", "xx")
        )
        files |= {
            f"{name}/boats.yaml": boats,
            f"{name}/kustomization.yaml": f"resources: [boats.yaml]\nnamePrefix: {name}-\n",
        }
    checked = _checked(tmp_path / "repo", files, "kustomization: shop")
    places = [each.partition("  ")[0] for each in _shown(checked)]
    assert places == ["a/boats.yaml:5:9", "a/boats.yaml:10:9", "b/boats.yaml:5:9", "b/boats.yaml:10:9"]
    assert runs() == 2


def test_an_object_that_a_kustomization_generates_is_where_its_generator_is(tmp_path: Path, runs: Count) -> None:
    files = {"shop/kustomization.yaml": "configMapGenerator:\n  - name: a\n    literals: [b=1]\n"}
    write(tmp_path, files)
    (manifest,) = sound(expand(tmp_path, "  kustomization: .\n"))
    before = runs()
    assert str(place(manifest.origins)) == "shop/kustomization.yaml:2:5"
    assert runs() == before


def test_an_error_that_a_patch_of_a_kustomization_makes_is_placed_in_the_patch(tmp_path: Path) -> None:
    kubectl()
    files = {
        "base/kustomization.yaml": "resources: [config.yaml]\npatches:\n  - path: patch.yaml\n",
        "base/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {b: c}\n",
        "base/patch.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  b: 7\n",
    }
    checked = _checked(tmp_path / "repo", files, "kustomization: base")
    assert _shown(checked) == [
        "base/patch.yaml:5:6  schema, ConfigMap a: `data.b` must be a string, but is the integer 7"
    ]


def test_an_unknown_field_is_placed_at_its_name(tmp_path: Path) -> None:
    """F5: for a mapping, the place was that of the last value in it."""
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndta:\n  user: YWRtaW4=\n  password: aHVudGVyMg==\n"
    checked = _checked(tmp_path, {"secret.yaml": text}, "manifests: [secret.yaml]")
    assert _shown(checked) == ["secret.yaml:4:1  schema, Secret db: unknown field `dta`; did you mean `data`?"]
