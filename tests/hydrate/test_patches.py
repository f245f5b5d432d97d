"""Patches of Bateau's own documents that add, remove and move: trees, places and chains stay together (F8)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.domain.workload import Workload
from bateau.hydrate import hydrate
from bateau.kit.json_value import object_at
from bateau.kit.position import leaves
from bateau.specs import read

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
APP = (
    "kind: App\nmetadata: {name: shop, labels: {team: blue}}\n"
    "spec:\n  command: [run, --a, --b, --c]\n  env: {A: one, B: two}\n  replicas: 3\n"
    "  ports: {http: {protocol: http}}\n"
)
CHART = "kind: App\nmetadata: {name: shop}\nspec: {chart: {source: charts/x, values: {probe: {path: /}, n1: 1}}}\n"


def patched(sets: str, document: str = APP) -> tuple[Workload | None, list[str]]:
    environment = f"kind: Environment\nmetadata: {{name: prod}}\nspec:\n  patches:\n    - set: {sets}\n"
    specs = read({"a.yaml": HEAD + document, "p.yaml": HEAD + environment})
    assert [problem.says for problem in specs.problems] == []
    release, problems = hydrate(specs.specs, "prod")
    return next(iter(release.services), None), [f"{problem.where}  {problem.says}" for problem in problems]


def spec_of(sets: str, document: str = APP) -> Any:
    service, problems = patched(sets, document)
    assert problems == []
    assert service is not None
    made = {path for path, value in leaves(service.tree["spec"], "spec") if value not in ({}, [])}
    assert made <= set(service.origins)
    return service.tree["spec"]


def test_null_removes_a_key_of_a_map() -> None:
    assert spec_of("{spec.env.A: null}")["env"] == {"B": "two"}


def test_null_gives_a_field_its_default_again() -> None:
    assert spec_of("{spec.replicas: null}")["replicas"] == 1


def test_null_removes_an_item_and_the_others_move_up() -> None:
    service, problems = patched("{'spec.command[1]': null, 'spec.command[3]': null, 'spec.command[2]': --z}")
    assert problems == []
    assert service is not None
    assert object_at(service.tree, "spec")["command"] == ["run", "--z"]
    assert [step.how for step in service.origins["spec.command[1]"]] == ["written", "patch"]
    assert "spec.command[2]" not in service.origins


def test_the_last_key_that_goes_leaves_an_empty_map_with_its_chain() -> None:
    service, problems = patched("{spec.env.A: null, spec.env.B: null}")
    assert problems == []
    assert service is not None
    assert object_at(service.tree, "spec")["env"] == {}
    assert [step.how for step in service.origins["spec.env"]] == ["patch"]


def test_null_within_the_values_of_a_chart_is_a_value() -> None:
    """Helm removes the default of a chart for it."""
    assert spec_of("{spec.chart.values.probe: null}", CHART)["chart"]["values"] == {"probe": None, "n1": 1}
    assert spec_of("{spec.chart.values.other: null}", CHART)["chart"]["values"]["other"] is None


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ("{spec.env.C: null}", "p.yaml:6:25  the patch cannot be applied: spec.env has no `C` to remove"),
        ("{spec.image: null}", "p.yaml:6:25  the patch cannot be applied: spec has no `image` to remove"),
        ("{spec.command: null}", "p.yaml:6:27  the app has nothing to run"),
    ],
)
def test_what_cannot_be_removed_is_an_error(sets: str, says: str) -> None:
    _, problems = patched(sets)
    assert len(problems) == 1
    assert says.split("  ", 1)[1] in problems[0]


def test_an_error_in_an_item_that_moved_up_is_placed_where_the_item_is_written() -> None:
    broken = APP.replace("--c]", "'${ nothing }']")
    _, problems = patched("{'spec.command[0]': null}", broken)
    assert problems == ["a.yaml:5:28  spec.command[2]: undeclared reference to 'nothing'"]


@given(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4, unique=True))
def test_removals_by_position_speak_of_the_list_as_it_is_written(indexes: list[int]) -> None:
    sets = ", ".join(f"'spec.command[{index}]': null" for index in indexes)
    service, problems = patched(f"{{{sets}}}" if sets else "{spec.replicas: 2}")
    left = [word for index, word in enumerate(["run", "--a", "--b", "--c"]) if index not in indexes]
    if not left:
        return
    assert problems == []
    assert service is not None
    assert object_at(service.tree, "spec")["command"] == left
    assert [service.origins[f"spec.command[{index}]"][-1].value for index in range(len(left))] == left
