"""What an API server would refuse is found offline; what cannot be checked is said."""

from typing import Any

import pytest

from bateau.domain.manifest import Manifest
from bateau.render import repeated, validate
from bateau.wiring.schemas import load_schemas

CRD: dict[str, Any] = {
    "spec": {
        "group": "acme.dev",
        "names": {"kind": "Ship"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size", "kind"],
                                "x-kubernetes-validations": [{"rule": "self.size > 0"}],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
                                    "kind": {"type": "string", "default": "boat"},
                                    "port": {"x-kubernetes-int-or-string": True},
                                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                },
                            }
                        },
                    }
                },
            }
        ],
    }
}


def _said(tree: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    manifest = Manifest(service=None, target="foreign", tree={"metadata": {"name": "a"}, **tree}, origins={})
    return [(f.verdict, f.path, f.says) for f in validate([manifest], load_schemas(crds=[CRD]))]


@pytest.mark.parametrize(
    ("tree", "verdict", "path", "part"),
    [
        ({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}}, "error", "data.a", "not of type"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "dat": {}}, "error", "dat", "'dat' was unexpected"),
        ({"apiVersion": "v2", "kind": "ConfigMap"}, "error", "apiVersion", "serves ConfigMap as v1 and not as v2"),
        ({"apiVersion": "x.dev/v1", "kind": "Boat"}, "not checked", "apiVersion", "no schema of Boat in x.dev/v1"),
        ({"apiVersion": "acme.dev/v1", "kind": "Ship", "spec": {"size": 0}}, "error", "spec.size", "0"),
        (
            {"apiVersion": "acme.dev/v1", "kind": "Ship", "spec": {"size": 1, "x": 1}},
            "error",
            "spec.x",
            "was unexpected",
        ),
    ],
)
def test_mistakes_are_found(tree: dict[str, Any], verdict: str, path: str | None, part: str) -> None:
    said = _said(tree)[0]
    assert said[:2] == (verdict, path)
    assert part in said[2]


def test_rules_of_a_crd_are_not_checked_and_said() -> None:
    spec = {"size": 1, "port": "http", "free": {"x": 1}}
    assert _said({"apiVersion": "acme.dev/v1", "kind": "Ship", "spec": spec}) == [
        ("not checked", None, "not checked: the CEL rules in the schema of Ship")
    ]


def test_values_of_a_secret_are_not_shown() -> None:
    assert "hunter2" not in repr(_said({"apiVersion": "v1", "kind": "Secret", "data": "hunter2"}))


def test_one_object_described_twice_is_said() -> None:
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    manifest = Manifest(service=None, target="foreign", tree=tree, origins={})
    assert [f.says for f in repeated([manifest] * 3)] == ["two manifests describe this object"]


def test_a_version_without_schemas_is_named() -> None:
    with pytest.raises(KeyError, match=r"none of 1\.2"):
        load_schemas("1.2")
