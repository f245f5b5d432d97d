"""Specs become workloads with every field filled in; invalid values are problems with a position."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.domain.spec import Spec
from bateau.domain.workload import Command, ModelServer
from bateau.hydrate import hydrate
from bateau.kit.position import Position
from bateau.specs.kinds import KINDS

Tree = dict[str, Any]


def spec(kind: Literal["Model", "App", "Policy"], name: str, tree: Tree, **labels: str) -> Spec:
    file = f"{name}.yaml"
    return Spec(
        definition=KINDS[kind],
        name=name,
        tree={"metadata": {"name": name, "labels": labels or None}, "spec": tree},
        position=Position(file, 1, 1),
        positions={
            "spec.command[1]": Position(file, 7, 5),
            "spec.env.HOME": Position(file, 8, 9),
            "spec.replicas": Position(file, 9, 13),
        },
    )


def model(name: str = "chat", **tree: Any) -> Spec:
    return spec("Model", name, {"source": "smollm2", **tree})


def test_an_absent_field_gets_the_default_of_its_schema() -> None:
    release, problems = hydrate([model()])
    (service,) = release.services
    assert problems == ()
    assert service.runs == ModelServer(source="smollm2", parallel=4)
    assert (service.replicas, service.drain_timeout_s) == (1, 600.0)
    assert (service.key, service.labels) == ("model/chat", {})


def test_units_become_numbers() -> None:
    release, _ = hydrate([model(resources={"memory": "2Gi", "cpu": "500m"}, drainTimeout="1m30s")])
    (service,) = release.services
    assert service.resources.memory == 2 * 2**30
    assert service.resources.cpu == 0.5
    assert service.drain_timeout_s == 90.0


def test_expressions_see_metadata_spec_and_ports() -> None:
    tree: Tree = {
        "command": ["serve", "--port=${ ports.http }", "${ metadata.labels.team }"],
        "ports": {"http": {}},
        "replicas": "${ size(spec.command) }",
        "env": {"HOME": "/srv/${ metadata.name }", "PLAIN": "$${HOME}"},
    }
    release, problems = hydrate([spec("App", "shop", tree, team="blue")])
    assert problems == ()
    (service,) = release.services
    assert service.runs == Command(words=("serve", "--port={port:http}", "blue"))
    assert service.replicas == 3
    assert service.env == {"HOME": "/srv/shop", "PLAIN": "${HOME}"}


def test_an_expression_that_fails_is_told_where_it_stands() -> None:
    tree: Tree = {"command": ["serve", "${ prots.http }"], "ports": {"http": {}}}
    _, (problem,) = hydrate([spec("App", "shop", tree)])
    assert problem.where == Position("shop.yaml", 7, 5)
    assert problem.says == "spec.command[1]: undeclared reference to 'prots.http'"
    assert problem.hint == "an expression can use: environment, metadata, ports, spec, values"


def test_a_port_that_is_not_declared_is_told() -> None:
    _, problems = hydrate([spec("App", "shop", {"command": ["serve", "${ ports.grpc }"], "ports": {"http": {}}})])
    assert [problem.where for problem in problems] == [Position("shop.yaml", 7, 5)]
    assert "grpc" in problems[0].says


def test_an_expression_of_the_wrong_type_is_told_with_the_field() -> None:
    release, problems = hydrate([model(replicas="${ metadata.name }")])
    assert release.services == ()
    (problem,) = problems
    assert "spec.replicas" in problem.says
    assert problem.where
    assert problem.where.file == "chat.yaml"


def test_all_failures_of_all_specs_are_found_and_the_others_hydrated() -> None:
    wrong = spec("App", "shop", {"command": ["${ a }", "${ b }"], "ports": {}, "env": {"HOME": "${ c }"}})
    release, problems = hydrate([wrong, model()])
    assert sorted(problem.says.partition(":")[0] for problem in problems) == [
        "spec.command[0]",
        "spec.command[1]",
        "spec.env.HOME",
    ]
    assert "model/chat" in [service.key for service in release.services]


def test_policies_and_environments_are_no_services() -> None:
    release, problems = hydrate([spec("Policy", "rules", {"rules": [{"check": "${ x }"}]})])
    assert (release.services, problems) == ((), ())


def test_an_app_with_an_empty_spec_has_all_defaults() -> None:
    bare = spec("App", "shop", {})
    release, _ = hydrate([bare])
    assert release.services[0].runs == Command(words=())
    assert release.services[0].drain_timeout_s == 30.0


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_specs_never_matters(names: list[str]) -> None:
    release, _ = hydrate([model(name) for name in names])
    assert [service.name for service in release.services] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "tree",
    [
        {"resources": {"memory": "${ nobody }"}},
        {"drainTimeout": "${ nobody }"},
        {"health": {"interval": "${ 1 / 0 }"}},
        {"resources": {"cpu": "$${x}"}},
        {"replicas": "$${x}"},
        {"engine": "$${x}"},
    ],
)
def test_an_expression_without_a_value_is_one_problem_wherever_it_stands(tree: Tree) -> None:
    release, problems = hydrate([model(**tree)])
    assert len(problems) == 1
    assert release.services == ()
