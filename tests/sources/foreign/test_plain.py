"""Plain manifests are included unchanged, every leaf with its place. Other documents are errors with their place."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem
from bateau.kit.json_value import text_at
from bateau.kit.position import leaves
from bateau.kit.yaml_writer import write as write_yaml
from bateau.sources.foreign import ForeignDocuments
from bateau.sources.foreign.objects import in_file, read_objects
from sources.foreign.building import chain, expand, service_of, shown, sound, stories, write

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: legacy
  labels: {}
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: web
          image: nginx:1.29
          args: []
"""


def kinds(manifests: tuple[Manifest, ...]) -> list[str]:
    return [f"{manifest.tree['kind']} {text_at(manifest.tree, 'metadata', 'name')}" for manifest in manifests]


def test_every_leaf_has_its_line_and_column(tmp_path: Path) -> None:
    write(tmp_path, {"shop/legacy/web.yaml": f"{DEPLOYMENT}---\n{CONFIG % 'settings'}data:\n  level: debug\n"})
    deployment, config = sound(expand(tmp_path, "  manifests: [legacy/web.yaml]\n"))
    assert (deployment.service, deployment.target) == ("app/shop", "foreign")
    assert deployment.key == ("apps", "Deployment", "", "legacy")
    assert chain(deployment, "spec.replicas") == ["shop/legacy/web.yaml:7:13 2"]
    assert chain(deployment, "spec.template.spec.containers[0].args") == ["shop/legacy/web.yaml:13:17 []"]
    assert chain(deployment, "metadata.labels") == ["shop/legacy/web.yaml:5:11 {}"]
    assert chain(config, "data.level") == ["shop/legacy/web.yaml:19:10 'debug'"]


def test_globs_go_down_and_sort_and_name_a_file_once(tmp_path: Path) -> None:
    names = ("b", "a/deep/d", "a/c", ".hidden/e", "a/.f", "z")
    write(tmp_path, {f"legacy/{name}.yaml": CONFIG % Path(name).name for name in names})
    write(tmp_path, {"legacy/readme.md": "# no manifest", "legacy/g.json": '{"kind": "X", "apiVersion": "v1", '
          '"metadata": {"name": "g"}}'})  # fmt: skip
    spec = "  manifests: [../legacy/z.yaml, ../legacy/**, ../legacy/a/*.yaml]\n"
    found = kinds(sound(expand(tmp_path, spec)))
    assert found == ["ConfigMap z", "ConfigMap c", "ConfigMap d", "ConfigMap b", "X g"]


def test_lists_are_unpacked_and_their_items_keep_their_places(tmp_path: Path) -> None:
    inner = "{apiVersion: v1, kind: SecretList, items: [{apiVersion: v1, kind: Secret, metadata: {name: b}}]}"
    first = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {'x.y': '1'}}"
    write(tmp_path, {"shop/all.yaml": f"apiVersion: v1\nkind: List\nitems:\n  - {first}\n  - {inner}\n"})
    one, two = sound(expand(tmp_path, "  manifests: [all.yaml]\n"))
    assert kinds((one, two)) == ["ConfigMap a", "Secret b"]
    assert chain(one, "data['x.y']") == ["shop/all.yaml:4:74 '1'"]
    assert chain(two, "metadata.name") == ["shop/all.yaml:5:96 'b'"]


def test_unquoted_words_mean_what_they_mean_to_kubectl(tmp_path: Path) -> None:
    text = f"{CONFIG % 'x'}data:\n  a: on\n  b: 'on'\n  c: 0644\n  d: &no Off\n  e: *no\n  f: true\n  y: 1e3\n"
    write(tmp_path, {"shop/x.yaml": text})
    expansion = expand(tmp_path, "  manifests: [x.yaml]\n")
    (manifest,) = sound(expansion)
    assert manifest.tree["data"] == {
        "a": True, "b": "on", "c": 420, "d": False, "e": False, "f": True, "true": 1000,
    }  # fmt: skip
    end = "as for kubectl, but kustomize and YAML 1.2 read it as text; write {0}, or put it in quotes"
    assert [(str(finding.where), finding.verdict, finding.says) for finding in expansion.findings] == [
        ("shop/x.yaml:5:6", "warning", f"`on` means true, {end.format('true')}"),
        ("shop/x.yaml:8:6", "warning", f"`Off` means false, {end.format('false')}"),
        ("shop/x.yaml:8:6", "warning", f"`Off` means false, {end.format('false')}"),
        ("shop/x.yaml:11:3", "warning", f"`y` means true, {end.format('true')}"),
    ]


def test_objects_of_json_follow_each_other_and_tags_decide_types(tmp_path: Path) -> None:
    """F30: both are valid to kubectl."""
    one = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "%s"}}'
    tagged = f"{CONFIG % 'c'}data: {{a: !!str 5, b: !!str on}}\n"
    write(tmp_path, {"shop/x.json": f"{one % 'a'}\n{one % 'b'}", "shop/y.yaml": tagged})
    manifests = sound(expand(tmp_path, "  manifests: [x.json, y.yaml]\n"))
    assert kinds(manifests) == ["ConfigMap a", "ConfigMap b", "ConfigMap c"]
    assert chain(manifests[1], "metadata.name") == ["shop/x.json:2:64 'b'"]
    assert manifests[2].tree["data"] == {"a": "5", "b": "on"}


@pytest.mark.parametrize(("text", "expected"), stories("no-manifests.txt"))
def test_what_is_no_manifest_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, {"shop/x.yaml": text, "shop/good.yaml": CONFIG % "good"})
    expansion = expand(tmp_path, "  manifests: ['*.yaml']\n")
    assert shown(expansion.problems) == expected
    assert expansion.manifests == ()


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"shop/x.yaml": "a: 1\n---\nb: [\n---\napiVersion: v1\nkind: X\nmetadata: {}\n"})
    expansion = expand(tmp_path, "  manifests: [x.yaml, y.yaml, no/*.yaml]\n")
    assert [str(problem.where) for problem in expansion.problems] == [
        "shop/app.yaml:5:23", "shop/app.yaml:5:31", "shop/x.yaml:4:1", "shop/x.yaml:1:1", "shop/x.yaml:7:11",
    ]  # fmt: skip


def test_braces_in_what_is_sound_are_no_template(tmp_path: Path) -> None:
    write(tmp_path, {"shop/x.yaml": f"{CONFIG % 'x'}data: {{alert: 'rate {{{{ .Value }}}}'}}\n"})
    (manifest,) = sound(expand(tmp_path, "  manifests: [x.yaml]\n"))
    assert manifest.tree["data"] == {"alert": "rate {{ .Value }}"}


@pytest.mark.parametrize(("named", "expected"), stories("not-named.txt"))
def test_what_cannot_be_read_is_told_where_the_spec_names_it(tmp_path: Path, named: str, expected: str) -> None:
    root = tmp_path / "root"
    write(root, {"shop/web.yaml": CONFIG % "web", "shop/folder/readme": ""})
    write(tmp_path, {"x.yaml": CONFIG % "x"})
    (root / "shop/link.yaml").symlink_to(tmp_path / "x.yaml")
    (root / "shop/out").symlink_to(tmp_path)
    expansion = expand(root, f"  manifests:\n    - web.yaml\n    - {named}")
    assert shown(expansion.problems) == expected
    assert expansion.manifests == ()


def test_a_glob_does_not_follow_links_out_of_the_tree(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, {"shop/web.yaml": CONFIG % "web"})
    write(tmp_path, {"secret/x.yaml": CONFIG % "x"})
    (root / "shop/out").symlink_to(tmp_path / "secret")
    (root / "shop/round").symlink_to(root / "shop")
    assert kinds(sound(expand(root, "  manifests: ['**/*.yaml']\n"))) == ["ConfigMap web"]
    (problem,) = expand(root, "  manifests: ['out*/*.yaml']\n").problems
    assert problem.says == "`out*/*.yaml` matches no YAML or JSON file"


def test_a_link_to_a_file_outside_is_not_read_through_a_glob(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(tmp_path, {"x.yaml": CONFIG % "x", "root/shop/app": ""})
    (root / "shop/link.yaml").symlink_to(tmp_path / "x.yaml")
    (problem,) = expand(root, "  manifests: ['*.yaml']\n").problems
    assert problem.says == "`shop/link.yaml` leads out of the directory of the specs"


def test_a_link_inside_the_tree_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"base/web.yaml": CONFIG % "web", "shop/app": ""})
    (tmp_path / "shop/base").symlink_to("../base")
    (manifest,) = sound(expand(tmp_path, "  manifests: [base/*.yaml]\n"))
    assert chain(manifest, "kind") == ["shop/base/web.yaml:2:7 'ConfigMap'"]


def test_what_was_asked_before_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path, {"shop/x.yaml": CONFIG % "x"})
    foreign = ForeignDocuments(tmp_path, environ={})
    service = service_of("  manifests: [x.yaml]\n")
    first = foreign.expand(service, namespace="a")
    (tmp_path / "shop/x.yaml").unlink()
    assert foreign.expand(service, namespace="a") is first
    assert foreign.expand(service, namespace="b").problems


def test_a_bundle_of_some_megabytes_is_read(tmp_path: Path) -> None:
    documents = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{i}"}, "data": {"x": "y" * 500_000}}
                 for i in range(4)]  # fmt: skip
    write(tmp_path, {"shop/x.yaml": write_yaml(documents)})
    assert len(sound(expand(tmp_path, "  manifests: [x.yaml]\n"))) == len(documents)


def test_a_file_without_an_object_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"shop/x.yaml": "# nothing yet\n---\n"})
    expansion = expand(tmp_path, "  manifests: [x.yaml]\n")
    assert [(str(each.where), each.says) for each in expansion.findings] == [
        ("shop/app.yaml:5:15", "shop/x.yaml contains no object")
    ]
    assert sound(expansion) == ()


def test_an_app_without_foreign_documents_has_none(tmp_path: Path) -> None:
    assert expand(tmp_path, "  image: nginx\n").manifests == ()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text("ab \n:#{}'\"", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.[]'", max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(specs=st.lists(_VALUES, max_size=3), listed=st.booleans())
def test_every_leaf_of_any_manifest_has_its_place(specs: list[Any], listed: bool) -> None:
    trees = [
        {"apiVersion": "v1", "kind": "X", "metadata": {"name": f"n{i}"}, "spec": spec} for i, spec in enumerate(specs)
    ]
    documents = [{"apiVersion": "v1", "kind": "List", "items": trees}] if listed else trees
    found, problems = read_objects("x.yaml", write_yaml(documents))
    assert problems == list[Problem]()
    assert [each.tree for each in found] == trees
    for each in found:
        origins = in_file(each)
        assert [(path, origin.value) for path, (origin,) in origins.items()] == list(leaves(each.tree))
        assert all(each.exactly_at(path) for path in origins)
