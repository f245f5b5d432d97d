"""Patches of Kubernetes objects: what they must not touch, and that many of them are no more than one."""

from typing import Any

import pytest

from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin
from bateau.hydrate import ManifestPatches
from bateau.kit.position import leaves
from bateau.specs import read

TREE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "labels": {"x": "1"}},
    "data": {"one": "1", "two": "2"},
}


def patched(sets: str) -> tuple[Manifest, list[str]]:
    text = (
        "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\n"
        f"spec:\n  patches:\n    - match: {{kind: ConfigMap}}\n      set: {sets}\n"
    )
    origins = {path: (Origin("rule", None, value, "made"),) for path, value in leaves(TREE)}
    manifest = Manifest(service="app/a", target="kubernetes", tree=TREE, origins=origins)
    made = ManifestPatches(read({"p.yaml": text}).specs, "prod").applied([manifest])
    return made.manifests[0], [problem.says for problem in made.problems]


@pytest.mark.parametrize(
    "path",
    ["kind", "['kind']", "metadata", "", "metadata.name", "metadata['name']", ".metadata.name", "metadata.namespace"],
)
def test_what_makes_an_object_this_object_stays(path: str) -> None:
    manifest, problems = patched(f'{{"{path}": {{x: z}}}}')
    assert manifest.tree == TREE
    assert problems == [f"`{path}` of ConfigMap a cannot be set"]


def test_a_thousand_patches_of_one_object_are_applied_and_explained() -> None:
    sets = "".join(f"\n        data.k{number}: 'v{number}'" for number in range(1000))
    manifest, problems = patched(f"{sets}\n        data.one: 'new'")
    assert problems == []
    assert len(manifest.tree["data"]) == 1002
    assert [step.how for step in manifest.origins["data.one"]] == ["rule", "patch"]
    assert {path for path, _ in leaves(manifest.tree)} == set(manifest.origins)


def test_a_mapping_that_is_replaced_leaves_no_chain_of_what_was_in_it() -> None:
    manifest, problems = patched("{data: {three: '3'}}")
    assert problems == []
    assert {path for path, _ in leaves(manifest.tree)} == set(manifest.origins)
    assert manifest.origins["data.three"][-1].how == "patch"
