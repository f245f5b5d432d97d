"""Patches of Kubernetes objects: what they must not touch, and that many of them are no more than one."""

from typing import Any

import pytest

from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin, place, removal
from bateau.hydrate import ManifestPatches
from bateau.kit.json_value import object_at
from bateau.kit.position import leaves
from bateau.specs import read

TREE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "labels": {"x": "1"}},
    "data": {"one": "1", "two": "2"},
}


def patched(sets: str, tree: dict[str, Any] = TREE) -> tuple[Manifest, list[str]]:
    text = (
        "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\n"
        f"spec:\n  patches:\n    - match: {{kind: {tree['kind']}}}\n      set: {sets}\n"
    )
    origins = {path: (Origin("rule", None, value, "made"),) for path, value in leaves(tree)}
    manifest = Manifest(service="app/a", target="kubernetes", tree=tree, origins=origins)
    made = ManifestPatches(read({"p.yaml": text}).specs, "prod").applied([manifest])
    return made.manifests[0], [problem.says for problem in made.problems]


@pytest.mark.parametrize(
    "path",
    ["kind", "['kind']", "metadata", "", "metadata.name", "metadata['name']", ".metadata.name", "metadata.namespace"],
)
def test_what_makes_an_object_this_object_stays(path: str) -> None:
    manifest, problems = patched(f'{{"{path}": {{x: z}}}}')
    assert manifest.tree == TREE
    assert problems == [f"`{path}` of ConfigMap a cannot be patched"]


def test_a_thousand_patches_of_one_object_are_applied_and_explained() -> None:
    sets = "".join(f"\n        data.k{number}: 'v{number}'" for number in range(1000))
    manifest, problems = patched(f"{sets}\n        data.one: 'new'")
    assert problems == []
    assert len(object_at(manifest.tree, "data")) == 1002
    assert [step.how for step in manifest.origins["data.one"]] == ["rule", "patch"]
    assert {path for path, _ in leaves(manifest.tree)} == set(manifest.origins)


def test_a_mapping_that_is_replaced_leaves_no_chain_of_what_was_in_it() -> None:
    manifest, problems = patched("{data: {three: '3'}}")
    assert problems == []
    assert {path for path, _ in leaves(manifest.tree)} == set(manifest.origins)
    assert manifest.origins["data.three"][-1].how == "patch"


POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "annotations": {"x": "1"}},
    "spec": {
        "containers": [
            {"name": "web", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "side", "image": "side:1"},
            {"name": "last", "ports": [{"containerPort": 80}]},
            {
                "name": "dns",
                "ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}],
            },
        ]
    },
}


def at(tree: Any, *way: Any) -> Any:
    for step in way:
        tree = tree[step]
    return tree


@pytest.mark.parametrize(
    ("sets", "way", "expected"),
    [
        ("{'spec.containers[name=side]': null}", ("spec", "containers", 1, "name"), "last"),
        ("{'spec.containers[0]': null, 'spec.containers[1]': null}", ("spec", "containers", 0, "name"), "last"),
        ("{'spec.containers[name=web].env': null}", ("spec", "containers", 0), {"name": "web"}),
        ("{'spec.containers[name=side].image': null}", ("spec", "containers", 1), {"name": "side"}),
        ("{metadata.annotations.x: null}", ("metadata", "annotations"), {}),
        (
            "{'spec.containers[name=web].env[name=LOG]': {value: debug}}",
            ("spec", "containers", 0, "env", 2),
            {"name": "LOG", "value": "debug"},
        ),
        (
            "{'spec.containers[name=web].env[name=B]': {value: '3'}}",
            ("spec", "containers", 0, "env", 1),
            {"name": "B", "value": "3"},
        ),
        (
            "{'spec.initContainers[name=wait]': {name: wait, image: 'wait:1'}}",
            ("spec", "initContainers"),
            [{"name": "wait", "image": "wait:1"}],
        ),
        (
            "{'spec.containers[name=last].ports[containerPort=443]': {protocol: TCP}}",
            ("spec", "containers", 2, "ports", 1),
            {"containerPort": 443, "protocol": "TCP"},
        ),
        (
            "{'spec.containers[name=new]': {image: 'new:1'}, 'spec.containers[name=side]': null}",
            ("spec", "containers", 3),
            {"name": "new", "image": "new:1"},
        ),
    ],
)
def test_items_and_fields_are_added_and_removed_by_key(sets: str, way: tuple[Any, ...], expected: Any) -> None:
    """F8, F32: null takes an item or a field away; a mapping for a key that is not there adds an item."""
    manifest, problems = patched(sets, POD)
    assert problems == []
    assert at(manifest.tree, *way) == expected
    assert {path for path, _ in leaves(manifest.tree)} == set(manifest.origins)


def test_what_moves_up_keeps_its_chain_and_what_is_added_has_one() -> None:
    manifest, _ = patched("{'spec.containers[name=web]': null, 'spec.containers[name=new]': {image: 'n:1'}}", POD)
    origins = manifest.origins
    assert [step.value for step in origins["spec.containers[0].image"]] == ["side:1"]
    assert [step.value for step in origins["spec.containers[1].ports[0].containerPort"]] == [80]
    assert [(step.how, step.value) for step in origins["spec.containers[3].name"]] == [("patch", "new")]
    assert str(place(origins, "spec.containers[3].image")) == "p.yaml:7:77"


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (
            "{'spec.containers[name=sied]': null}",
            "the patch cannot be applied to Pod a: spec.containers has no item whose name is `sied`",
        ),
        (
            "{'spec.containers[name=sied].image': x}",
            "the patch cannot be applied to Pod a: spec.containers has no item whose name is `sied`",
        ),
        (
            "{'spec.containers[7]': null}",
            "the patch cannot be applied to Pod a: spec.containers has 4 items, so [7] cannot be removed",
        ),
        ("{spec.nodeName: null}", "the patch cannot be applied to Pod a: spec has no `nodeName` to remove"),
        (
            "{'spec.containers[name=x]': plain}",
            "the patch cannot be applied to Pod a: an item that is selected by name must be a mapping",
        ),
        (
            "{'spec.containers[name=x]': {name: z}}",
            "the patch cannot be applied to Pod a: the item [name=x] of spec.containers has the name `z`",
        ),
        ("{metadata: null}", "`metadata` of Pod a cannot be patched"),
        (
            "{'spec.containers[nmae=x]': {image: 'x:1'}}",
            "the patch cannot be applied to Pod a: no item of spec.containers has the field `nmae`",
        ),
        (
            "{'spec.containers[name=dns].ports[containerPort=53].name': x}",
            "the patch cannot be applied to Pod a: spec.containers[3].ports has 2 items whose containerPort is `53`",
        ),
    ],
)
def test_what_is_not_there_is_neither_removed_nor_changed(sets: str, says: str) -> None:
    manifest, problems = patched(sets, POD)
    assert manifest.tree == POD
    assert problems == [says]


def test_what_a_patch_removes_names_the_patch() -> None:
    sets = "{'spec.containers[name=web]': null, 'spec.containers[name=side].image': null, metadata.annotations: null}"
    origins = patched(sets, POD)[0].origins
    removed = ["spec.containers[0].image", "metadata.annotations.x", "metadata.annotations"]
    assert [at.line for path in removed if (at := removal(origins, path))] == [7] * 3
    kept = ["spec.containers[0].name", "metadata.annotations.never", "spec.containers[1].ports", "spec.never"]
    assert [removal(origins, path) for path in kept] == [None] * 4


@pytest.mark.parametrize(
    ("sets", "path"),
    [
        ("{'spec.affintiy.x[name=a]': {b: c}}", "spec.affintiy"),  # a parent that the patch creates
        ("{'spec.initContainers[name=a]': {image: c}}", "spec.initContainers"),
        ("{'spec.containers[name=a]': {image: c}}", "spec.containers[4]"),
        ("{'spec.containers[name=web].env': null}", "spec.containers[0].env"),
    ],
)
def test_errors_in_parents_that_a_patch_creates_and_in_fields_that_it_removes_are_placed_at_the_patch(
    sets: str, path: str
) -> None:
    """F32: a misspelt parent (`spec.affintiy`) and a removed required field were placed in the manifest."""
    manifest, problems = patched(sets, POD)
    assert problems == []
    assert {path for path, _ in leaves(manifest.tree)} == set(manifest.origins)
    places = [place(manifest.origins, path, of_key=of_key) for of_key in (True, False)]
    assert [(each.file, each.line) for each in places if each] == [("p.yaml", 7)] * 2


@pytest.mark.parametrize(
    ("patches", "value", "says"),
    [
        ("{match: {kind: Secret}, set: {data.one: '2'}}", "1", ["the patch matches no manifest"]),
        (
            "{match: {kind: ConfigMap}, set: {data.one: '2'}}, {match: {kind: ConfigMap}, set: {data.one: '3'}}",
            None,
            ["two patches of equal rank set data.one of ConfigMap a"],
        ),
        (
            "{match: {kind: ConfigMap, name: a}, set: {data.one: '2'}}, {match: {kind: ConfigMap}, set: {data.one: z}}",
            "2",
            [],
        ),
    ],
)
def test_ranks_and_conflicts_are_those_of_documents(patches: str, value: str | None, says: list[str]) -> None:
    text = (
        "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\n"
        f"spec: {{patches: [{patches}]}}\n"
    )
    manifest = Manifest(service="app/a", target="kubernetes", tree=TREE, origins={})
    among = ManifestPatches(read({"p.yaml": text}).specs, "prod")
    made = among.applied([manifest])
    assert [each.says for each in (*made.problems, *among.unmatched(made.matched, {"ConfigMap"}))] == says
    if value is not None:
        assert object_at(made.manifests[0].tree, "data")["one"] == value
