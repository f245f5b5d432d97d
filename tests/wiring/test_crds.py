"""CRDs that apps bring are the schemas of their kinds, and decide whether an object is in a namespace."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bateau.domain.api_resources import API_RESOURCES
from bateau.kit.json_value import Json, object_at
from bateau.wiring.delivery import rendered
from bateau.wiring.packing import Packer
from bateau.wiring.question import Question
from bateau.wiring.schemas import VERSIONS, load_schemas
from bateau.wiring.written import check_directory

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
APP = HEAD + "kind: App\nmetadata: {name: %s}\nspec: {manifests: [%s/*.yaml]}\n"
# Kinds of the schemas that no path creates as an object of its own.
NO_RESOURCES = {
    *(("", kind) for kind in ("APIGroup", "APIVersions", "Status")),
    ("authentication.k8s.io", "TokenRequest"),
    ("autoscaling", "Scale"),
    ("policy", "Eviction"),
}


def crd(kind: str, scope: str, group: str = "boats.dev", **field: Any) -> dict[str, Any]:
    """Return a CRD with one field in its spec, `size`."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": field}}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": scope,
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def custom(kind: str, group: str = "boats.dev", version: str = "v1", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "a"}, "spec": spec}


def repository(root: Path, crds: list[dict[str, Any]], objects: list[dict[str, Any]]) -> Path:
    for name, trees in (("crds", crds), ("objects", objects)):
        if trees:
            (root / name).mkdir()
            (root / name / "all.yaml").write_text(yaml.safe_dump_all(trees))
            (root / f"{name}.yaml").write_text(APP % (name, name))
    return root


def namespaces(root: Path) -> dict[str, Json]:
    """Return the namespace that each object is rendered into, by its kind."""
    found = rendered(Question(directory=root, environment=None, namespace="shop"))
    return {str(each.tree["kind"]): object_at(each.tree, "metadata").get("namespace") for each in found.manifests}


def test_a_crd_of_another_app_is_the_schema_of_its_kind(tmp_path: Path) -> None:
    """F16: the type of a field was not checked."""
    root = repository(tmp_path, [crd("Boat", "Namespaced", type="integer")], [custom("Boat", size="x", sice=1)])
    says = [each.says for each in check_directory(root).problems]
    assert says == [
        "schema, Boat a: unknown field `spec.sice`; did you mean `size`?",
        'schema, Boat a: `spec.size` must be an integer, but is the string "x"',
    ]


def test_a_version_that_a_crd_does_not_serve_is_an_error(tmp_path: Path) -> None:
    root = repository(tmp_path, [crd("Boat", "Namespaced", type="integer")], [custom("Boat", version="v2")])
    (problem,) = check_directory(root).problems
    assert problem.says == "schema, Boat a: the CRD of Boat serves Boat as v1 and not as v2"


def test_the_scope_of_a_custom_resource_is_that_of_its_crd(tmp_path: Path) -> None:
    """F14: `scope: Cluster` was ignored, and `scope: Namespaced` gave no namespace."""
    crds = [
        crd("Boat", "Namespaced", type="integer"),
        crd("Sea", "Cluster", type="integer"),
        crd("VolumeSnapshotClass", "Cluster", "snapshot.storage.k8s.io", type="integer"),
    ]
    objects = [custom("Boat"), custom("Sea"), custom("VolumeSnapshotClass", "snapshot.storage.k8s.io")]
    root = repository(tmp_path, crds, objects)
    found = namespaces(root)
    assert (found["Boat"], found["Sea"], found["VolumeSnapshotClass"]) == ("shop", None, None)
    assert check_directory(root).problems == ()


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ("gateway.networking.k8s.io", "GatewayClass"),
        ("snapshot.storage.k8s.io", "VolumeSnapshotClass"),
        ("policy.networking.k8s.io", "AdminNetworkPolicy"),
        ("boats.dev", "Boat"),
    ],
)
def test_an_object_of_unknown_scope_gets_no_namespace_and_that_is_reported(
    tmp_path: Path, group: str, kind: str
) -> None:
    """F14: every group that ends in .k8s.io was taken for one of Kubernetes' own."""
    root = repository(tmp_path, [], [custom(kind, group)])
    assert namespaces(root) == {kind: None}
    (problem,) = check_directory(root).problems
    assert problem.says == (
        f"schema, {kind} a: not checked: no schema of {kind} in {group}/v1 is known, and neither is its scope: "
        "the object gets no namespace; bring its CRD in an App, or write metadata.namespace"
    )


def test_a_kind_of_kubernetes_that_is_cluster_scoped_gets_no_namespace(tmp_path: Path) -> None:
    """F14: DeviceTaintRule is in a group of Kubernetes, and was missing in the table."""
    objects = [custom("DeviceTaintRule", "resource.k8s.io"), custom("ResourceClaim", "resource.k8s.io")]
    root = repository(tmp_path, [], objects)
    assert namespaces(root) == {"DeviceTaintRule": None, "ResourceClaim": "shop"}


def test_a_crd_that_is_not_valid_is_an_error_and_no_schema(tmp_path: Path) -> None:
    broken = crd("Boat", "Namespaced", type="integer")
    del broken["spec"]["names"]
    says = [each.says for each in check_directory(repository(tmp_path, [broken], [custom("Boat")])).problems]
    assert "schema, CustomResourceDefinition boats.boats.dev: `spec.names` is required" in says
    assert any("no schema of Boat" in each for each in says)


def test_render_uses_the_crds_as_check_does(tmp_path: Path) -> None:
    crds = [crd("Boat", "Namespaced", type="integer")]
    specs = tmp_path / "specs"
    specs.mkdir()
    root = repository(specs, crds, [custom("Boat", size="x")])
    packer = Packer(Question(directory=root, environment=None), cache=tmp_path)
    assert [each.says for each in packer.pack(None).findings] == [
        '`spec.size` must be an integer, but is the string "x"'
    ]
    packer.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_scope_of_every_shipped_kind_is_known(version: str) -> None:
    schemas = load_schemas(version)
    unknown = {(group, kind) for group, kind in schemas.kinds() if schemas.scope(group, kind) is None}
    assert unknown == NO_RESOURCES
    assert version != VERSIONS[-1] or API_RESOURCES.keys() <= schemas.kinds()
