"""The CustomResourceDefinitions: complete, and compatible with those that clusters have."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bateau.kit.json_value import JsonObject
from bateau.kit.schema_field import fields_of
from bateau.kit.yaml_writer import write
from bateau.specs import custom_resource_definitions
from bateau.specs.kinds import KINDS
from narrowing import narrowings

GOLDEN = Path(__file__).parents[1] / "golden/crds.yaml"


def schema_of(definitions: list[JsonObject], kind: str) -> Any:
    definition: Any = next(each for each in definitions if object_kind(each) == kind)
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def object_kind(definition: Any) -> str:
    return definition["spec"]["names"]["kind"]


def test_the_definitions_are_those_of_the_golden_file(request: pytest.FixtureRequest) -> None:
    actual = write(custom_resource_definitions())
    if request.config.getoption("--accept"):
        old = list(yaml.safe_load_all(GOLDEN.read_text())) if GOLDEN.exists() else []
        broken = narrowings(old, list(custom_resource_definitions()))
        assert broken == [], "clusters have objects of this version; a narrower schema needs a new one (decision 0015)"
        GOLDEN.write_text(actual)
    assert GOLDEN.read_text() == actual, "run pytest --accept to accept fields, values and texts that were added"


def test_the_definitions_are_compatible_with_those_of_the_golden_file() -> None:
    old = list(yaml.safe_load_all(GOLDEN.read_text()))
    assert narrowings(old, list(custom_resource_definitions())) == []


@pytest.mark.parametrize("kind", sorted(name for name, kind in KINDS.items() if kind.resource))
def test_every_field_rule_and_limit_of_a_kind_is_in_its_definition(kind: str) -> None:
    definitions = custom_resource_definitions()
    schema = schema_of(definitions, kind)
    assert list(schema["properties"]["spec"]["properties"]) == list(fields_of(KINDS[kind].schema))
    resource = KINDS[kind].resource
    assert resource
    for rule in resource.validations:
        found = at(schema, rule.on)["x-kubernetes-validations"]
        assert rule.rule in [each["rule"] for each in found]
    for path, limit in resource.limits.items():
        assert limit.items() <= at(schema, path).items()


def at(schema: Any, path: str) -> Any:
    for step in path.replace("[]", ".[]").split(".") if path else []:
        schema = schema[{"[]": "items", "*": "additionalProperties"}.get(step, "properties")]
        schema = schema if step in ("[]", "*") else schema[step]
    return schema


def test_a_service_has_a_status_and_a_scale_and_a_namespace() -> None:
    for each in custom_resource_definitions():
        definition: Any = each
        kind = KINDS[object_kind(each)]
        service = kind.to_workload is not None
        assert definition["spec"]["scope"] == ("Namespaced" if service else "Cluster")
        subresources = definition["spec"]["versions"][0].get("subresources", {})
        assert ("scale" in subresources) == service
        assert ("status" in subresources) == (service or kind.name == "Key")


def _fields(schema: Any) -> Any:
    return schema["properties"]["spec"]["properties"]


NARROWED: list[tuple[Callable[[Any], object], str]] = [
    (lambda model: _fields(model).pop("threads"), ".spec.threads: the field was removed"),
    (lambda model: _fields(model)["threads"].update(type="string"), ".spec.threads: the type changed"),
    (lambda model: _fields(model)["threads"].update(minimum=2), ".spec.threads: minimum was raised"),
    (lambda model: _fields(model)["threads"].update(maximum=64), ".spec.threads: maximum was lowered"),
    (lambda model: _fields(model)["replicas"].update(maximum=10), ".spec.replicas: maximum was lowered"),
    (lambda model: _fields(model)["parallel"].update(default=8), ".spec.parallel: default changed"),
    (lambda model: _fields(model)["engine"]["enum"].remove("vllm"), ".spec.engine: the values vllm were removed"),
    (lambda model: model["properties"]["spec"]["required"].append("engine"), ".spec.engine: the field became required"),
    (lambda model: _fields(model)["env"]["additionalProperties"].update(type="integer"), ".spec.env.*: the type"),
    (lambda model: _fields(model)["drainTimeout"].pop("x-kubernetes-int-or-string"), "int-or-string was removed"),
    (lambda model: _fields(model)["health"]["properties"]["path"].update(pattern="^/$"), "path: pattern changed"),
    (
        lambda model: model["x-kubernetes-validations"].append({"rule": "false", "message": "no"}),
        "the document: there is a new rule, no",
    ),
]


@pytest.mark.parametrize(("change", "says"), NARROWED, ids=[says for _, says in NARROWED])
def test_a_narrower_schema_is_found(change: Callable[[Any], object], says: str) -> None:
    new = copy.deepcopy(custom_resource_definitions())
    change(schema_of(new, "Model"))
    (found,) = narrowings(list(custom_resource_definitions()), list(new))
    assert found.startswith("models.bateau.dev v1alpha1: ")
    assert says in found


LOST: list[tuple[Callable[[Any], object], str]] = [
    (lambda new: new.pop(), "keys.bateau.dev: the kind was removed"),
    (lambda new: new[0]["spec"].update(scope="Cluster"), "models.bateau.dev: scope changed"),
    (lambda new: new[0]["spec"]["names"].update(plural="model"), "models.bateau.dev: names.plural changed"),
    (lambda new: new[0]["spec"]["versions"][0].update(served=False), "v1alpha1: the version is no longer served"),
    (lambda new: new[0]["spec"]["versions"][0]["subresources"].pop("scale"), "the subresource scale was removed"),
]


@pytest.mark.parametrize(("change", "says"), LOST, ids=[says for _, says in LOST])
def test_a_lost_kind_version_or_subresource_is_found(change: Callable[[Any], object], says: str) -> None:
    new: list[Any] = copy.deepcopy(list(custom_resource_definitions()))
    change(new)
    assert any(says in each for each in narrowings(list(custom_resource_definitions()), new))


def test_a_wider_schema_is_compatible() -> None:
    new = copy.deepcopy(custom_resource_definitions())
    model = schema_of(new, "Model")
    _fields(model)["colour"] = {"type": "string"}
    _fields(model)["engine"]["enum"].append("sglang")
    _fields(model)["replicas"]["maximum"] = 2000
    _fields(model)["source"]["description"] = "Another text."
    assert narrowings(list(custom_resource_definitions()), list(new)) == []
