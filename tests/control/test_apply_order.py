"""Rendered output and bundles are in the order in which objects are applied (F17)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bateau.control.bundle import manifests_in_order, manifests_of, read_bundle
from bateau.control.packing import Packed
from bateau.kit.archive import archive, compressed, files_in, members
from bateau.wiring.packing import Packer
from bateau.wiring.question import Question

HEAD = "apiVersion: bateau.dev/v1alpha1\nkind: App\n"
OBJECT = "---\napiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: shop}\n"
A = [("apps/v1", "Deployment", "web"), ("shop.dev/v1", "Basket", "one"), ("v1", "ConfigMap", "web")]
B = [
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "w"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "web"),
    ("v1", "Service", "web"),
    ("v1", "Namespace", "shop"),
    ("serving.knative.dev/v1", "Service", "fn"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "baskets.shop.dev"),
]
ORDER = [
    "Namespace shop", "CustomResourceDefinition baskets.shop.dev", "RoleBinding web", "ConfigMap web", "Service web",
    "Deployment web", "Basket one", "Service fn", "ValidatingWebhookConfiguration w",
]  # fmt: skip


@pytest.fixture
def packer(tmp_path: Path) -> Iterator[Packer]:
    repo = tmp_path / "repo"
    repo.mkdir()
    for name, objects in (("a", A), ("b", B)):
        (repo / f"{name}.app.yaml").write_text(
            f"{HEAD}metadata: {{name: {name}}}\nspec: {{manifests: [{name}.yaml]}}\n"
        )
        (repo / f"{name}.yaml").write_text("".join(OBJECT % each for each in objects))
    question = Question(directory=repo, environment=None, namespace="default", starter=False, kubernetes="1.37")
    made = Packer(question, cache=tmp_path)
    yield made
    made.close()


@pytest.fixture
def packed(packer: Packer) -> Packed:
    return packer.pack(None)


def named(tree: Any) -> str:
    return f"{tree['kind']} {tree['metadata']['name']}"


def test_what_is_printed_can_be_applied_from_top_to_bottom(packed: Packed) -> None:
    """F17: `bateau render | kubectl apply -f -` failed the first time: Namespaces and CRDs came after their objects."""
    text = b"".join(manifests_in_order(packed)).decode()
    assert [named(tree) for tree in yaml.safe_load_all(text)] == ORDER


def test_each_file_has_the_same_order(packed: Packed) -> None:
    """F17: `bateau render -o` and the files of a bundle."""
    for _, text in manifests_of(packed):
        names = [named(tree) for tree in yaml.safe_load_all(text)]
        assert names == [each for each in ORDER if each in names]


def test_a_bundle_lists_its_objects_in_the_same_order(packer: Packer, packed: Packed) -> None:
    about = json.loads(files_in(packer.bundle(packed))["bundle.json"])
    assert about["apiVersion"] == "bateau.dev/bundle/v2"
    assert [f"{kind} {name}" for _, kind, _, name, _ in about["objects"]] == ORDER


def test_a_bundle_of_the_form_before_is_read(packer: Packer, packed: Packed) -> None:
    files = dict(files_in(packer.bundle(packed)))
    about = json.loads(files["bundle.json"])
    files["bundle.json"] = json.dumps({**about, "apiVersion": "bateau.dev/bundle/v1"}).encode()
    before = archive((compressed(members(files)),))
    assert sorted(named(each.tree) for each in read_bundle(before, "it")) == sorted(ORDER)
