"""Objects that an API server would reject are found offline; unchecked ones are reported."""

from typing import Any

import pytest

from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin
from bateau.kit.json_value import JsonObject, object_at
from bateau.kit.position import Position
from bateau.render import repeated, validate
from bateau.render.crd_schema import without_defaults
from bateau.render.definitions import Definitions
from bateau.wiring.schemas import VERSIONS, api_versions, load_schemas

CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ships.acme.dev"},
    "spec": {
        "group": "acme.dev",
        "names": {"kind": "Ship", "plural": "ships"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
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
                                    "crew": {"type": "array", "items": {"type": "string"}},
                                    "berths": {"type": "object", "additionalProperties": {"type": "string"}},
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}


def _said(tree: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    manifest = Manifest(service=None, target="foreign", tree={"metadata": {"name": "a"}, **tree}, origins={})
    return [(f.verdict, f.path, f.says) for f in validate([manifest], load_schemas().with_crds([CRD]))]


@pytest.mark.parametrize(
    ("tree", "verdict", "path", "part"),
    [
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}},
            "error",
            "data.a",
            "must be a string, but is the integer 1",
        ),
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "dat": {}},
            "error",
            "dat",
            "unknown field `dat`; did you mean `data`?",
        ),
        ({"apiVersion": "v2", "kind": "ConfigMap"}, "error", "apiVersion", "serves ConfigMap as v1 and not as v2"),
        ({"apiVersion": "x.dev/v1", "kind": "Boat"}, "not checked", "apiVersion", "no schema of Boat in x.dev/v1"),
        ({"apiVersion": "acme.dev/v1", "kind": "Ship", "spec": {"size": 0}}, "error", "spec.size", "0"),
        (
            {"apiVersion": "acme.dev/v1", "kind": "Ship", "spec": {"size": 1, "x": 1}},
            "error",
            "spec.x",
            "unknown field `spec.x`",
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
        ("not checked", None, "the CEL rules in the schema of Ship")
    ]


def test_values_of_a_secret_are_not_shown() -> None:
    assert "hunter2" not in repr(_said({"apiVersion": "v1", "kind": "Secret", "data": "hunter2"}))


def test_an_object_that_is_described_twice_is_reported_once_with_every_app_and_place() -> None:
    """F11: neither the other place nor the other app was named."""
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    manifests = [
        Manifest(
            service=f"app/{name}",
            target="foreign",
            tree=tree,
            origins={"metadata.name": (Origin("foreign", Position(f"{name}.yaml", 3, 19), "a"),)},
        )
        for name in ("x", "y", "z")
    ]
    (finding,) = repeated(manifests)
    assert (str(finding.where), finding.service) == ("y.yaml:3:19", "app/y")
    assert finding.says == (
        "3 manifests describe this object: that of app/x at x.yaml:3:19 and that of app/y at y.yaml:3:19 "
        "and that of app/z at z.yaml:3:19"
    )


def test_a_version_without_schemas_is_named() -> None:
    with pytest.raises(KeyError, match=r"none of 1\.2"):
        load_schemas("1.2")


_LABELS = {"app": "a"}
_POD = {"metadata": {"labels": _LABELS}, "spec": {"containers": [{"name": "a"}]}}


def _deployment(**spec: Any) -> dict[str, Any]:
    given = {"selector": {"matchLabels": _LABELS}, "template": _POD, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "spec": given}


def _pod_with(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a"}], **spec}}


def _ship(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "acme.dev/v1", "kind": "Ship", "spec": {"size": 1, **spec}}


_ROLE_BINDING = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding"}
_CRON_JOB = {"apiVersion": "batch/v1", "kind": "CronJob"}


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        (_deployment(selector=None), "spec.selector"),
        (_deployment(template=None), "spec.template"),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "spec": None}, "spec"),
        ({**_ROLE_BINDING, "roleRef": None}, "roleRef"),
        ({**_CRON_JOB, "spec": {"schedule": "@daily", "jobTemplate": None}}, "spec.jobTemplate"),
        (_pod_with(containers=[{"name": "a"}, None]), "spec.containers[1]"),
        (_pod_with(containers=[{"name": "a", "livenessProbe": {"tcpSocket": {"port": None}}}]),
         "spec.containers[0].livenessProbe.tcpSocket.port"),
        ({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [None]}}, "spec.ports[0]"),
        (_ship(crew=[None]), "spec.crew[0]"),
        (_ship(size=None), "spec.size"),
    ],
)  # fmt: skip
def test_a_null_is_rejected_where_a_value_is_required(tree: dict[str, Any], path: str) -> None:
    """F8: required objects, their fields and items of lists, in Kubernetes' own kinds and in those of a CRD."""
    errors = [(at, says) for verdict, at, says in _said(tree) if verdict == "error"]
    assert [at for at, _ in errors] == [path]
    assert f"`{path}` must" in errors[0][1]
    assert "null" in errors[0][1]


@pytest.mark.parametrize(
    ("tree", "path", "kind"),
    [
        (_pod_with(containers=[{"name": "a", "args": ["--x", None]}]), "spec.containers[0].args[1]", "a string"),
        (_pod_with(containers=None), "spec.containers", "a list"),
        (_pod_with(containers=[{"name": None}]), "spec.containers[0].name", "a string"),
    ],
)
def test_a_null_where_a_type_is_required_is_named_with_that_type(tree: dict[str, Any], path: str, kind: str) -> None:
    assert _said(tree) == [("error", path, f"`{path}` must be {kind}, but is null")]


@pytest.mark.parametrize(
    "tree",
    [
        _deployment(strategy=None, replicas=None),
        _deployment(strategy={"rollingUpdate": {"maxSurge": None}}),
        _pod_with(volumes=None, containers=[{"name": "a", "env": None, "resources": {"limits": {"cpu": None}}}]),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": None, "creationTimestamp": None}},
        {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}, "eventTime": None},
        {"apiVersion": "events.k8s.io/v1", "kind": "Event", "eventTime": None},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": None},
    ],
)
def test_a_null_that_an_api_server_drops_passes(tree: dict[str, Any]) -> None:
    """F8: an optional field, a map value, and a time that is not known."""
    assert _said(tree) == []


def test_a_null_that_an_api_server_drops_from_a_custom_resource_passes() -> None:
    """F8: only the rules of the CRD are reported as not checked."""
    tree = {**_ship(kind=None, port=None, berths={"a": None}), "metadata": {"name": "a", "finalizers": None}}
    assert [said[0] for said in _said(tree)] == ["not checked"]


def test_the_shipped_definitions_are_not_changed() -> None:
    shipped: dict[str, JsonObject] = {
        "a": {"properties": {"b": {"$ref": "#/$defs/c"}}, "required": ["b"]},
        "c": {"type": ["object", "null"]},
    }
    before = repr(shipped)
    field = object_at(Definitions(shipped).schema("a"), "$defs", "a", "properties", "b")
    assert field["not"] == {"type": "null"}
    assert repr(shipped) == before


SOPS = {"mac": "ENC[AES256_GCM,data:xyz]", "version": "3.9.0", "age": [{"recipient": "age1x", "enc": "---"}]}


def test_an_object_that_sops_has_encrypted_is_not_checked_in_its_encrypted_parts() -> None:
    """F5: its metadata is not an unknown field, and an encrypted number is text."""
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "ENC[AES256_GCM,data:a]", "b": "ENC[AES256_GCM]"}}
    says = "2 values encrypted with SOPS; decrypt them before the object is applied, as Flux and KSOPS do"
    assert _said({**secret, "sops": SOPS}) == [("not checked", None, says)]
    boat = _ship(size="ENC[AES256_GCM,data:1]", kind="boat")
    assert [verdict for verdict, *_ in _said({**boat, "sops": SOPS})] == ["not checked", "not checked"]


def test_the_plain_parts_of_an_object_that_sops_has_encrypted_are_checked() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "dta": {"a": "ENC[AES256_GCM,data:a]"}, "immutable": "no"}
    assert sorted((path, says) for verdict, path, says in _said({**secret, "sops": SOPS}) if verdict == "error") == [
        ("dta", "unknown field `dta`; did you mean `data`?"),
        ("immutable", "`immutable` must be a boolean, but is a string"),
    ]


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"dta": {"a": "hunter2"}}, "dta", "unknown field `dta`; did you mean `data`?"),
        ({"strings": "hunter2"}, "strings", "unknown field `strings`"),
        ({"data": {"a": 1234567}}, "data.a", "`data.a` must be a string, but is an integer"),
        ({"stringData": ["hunter2"]}, "stringData", "`stringData` must be a mapping, but is a list"),
        ({"kind": "Secret", "sops": "hunter2"}, "sops", "unknown field `sops`"),
    ],
)
def test_an_error_in_a_secret_names_the_field_and_hides_the_value(fields: Any, path: str, says: str) -> None:
    """F5: every error was `does not have the form that a Secret needs`."""
    assert _said({"apiVersion": "v1", "kind": "Secret", **fields}) == [("error", path, says)]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_shipped_schema_compiles(version: str) -> None:
    """Definitions refer to each other in circles, as the schema of a schema does."""
    schemas = load_schemas(version)
    texts = [text.split("/") for text in api_versions(version) if text.rpartition("/")[2][0].isupper()]
    checkers = [schemas.checker(("/".join(group), of, kind)) for *group, of, kind in texts]
    assert len(checkers) > 100
    assert [each for each in checkers if isinstance(each, str)] == []


LISTS: JsonObject = {
    "properties": {
        "ports": {
            "items": {"properties": {"number": {}, "protocol": {"default": "TCP"}, "weight": {"default": 1}}},
        },
        "listeners": {
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"properties": {"name": {}, "from": {"default": {}, "properties": {"all": {"default": "Same"}}}}},
        },
    }
}


def test_a_default_that_the_specs_leave_out_is_left_out_of_the_live_object() -> None:
    live: JsonObject = {
        "ports": [{"number": 1, "protocol": "TCP", "weight": 1}, {"number": 2, "protocol": "UDP", "weight": 1}],
        "listeners": [{"name": "old", "from": {"all": "Same"}}, {"name": "new", "from": {"all": "Same"}}],
    }
    wanted: JsonObject = {"ports": [{"number": 1}, {"number": 2, "weight": 1}], "listeners": [{"name": "new"}]}
    assert without_defaults(LISTS, live, wanted) == {
        # UDP was applied before, so its removal is planned; the weight is wanted; the item `old` goes as it is.
        "ports": [{"number": 1}, {"number": 2, "protocol": "UDP", "weight": 1}],
        "listeners": [{"name": "old", "from": {"all": "Same"}}, {"name": "new"}],
    }
