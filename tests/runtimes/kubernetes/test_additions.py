"""What others have added to a live object is left out of a plan, because an apply does not touch it."""

import pytest

from bateau.kit.json_value import Json, JsonObject
from bateau.runtimes.kubernetes.additions import without_additions


def _live(*holders: tuple[str, JsonObject], subresource: str = "") -> JsonObject:
    """A Deployment with a container that has two variables, a port, and an annotation."""
    ports: Json = [{"containerPort": 8080, "protocol": "TCP"}]
    env: Json = [{"name": "MINE", "value": "1"}, {"name": "THEIRS", "value": "2"}]
    container: Json = {"name": "web", "image": "web:1", "env": env, "ports": ports}
    fields: list[Json] = [
        {"manager": manager, "fieldsV1": each, "subresource": subresource} for manager, each in holders
    ]
    return {
        "metadata": {"name": "web", "annotations": {"a.b/c": "x"}, "managedFields": fields},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [container]}}},
    }


def _containers(**below: Json) -> JsonObject:
    containers: JsonObject = {'k:{"name":"web"}': {".": {}, **below}}
    return {"f:spec": {"f:template": {"f:spec": {"f:containers": containers}}}}


WANTED: JsonObject = {
    "metadata": {"name": "web"},
    "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
}
LEAF: JsonObject = {}
MINE: JsonObject = {'k:{"name":"MINE"}': {".": {}, "f:value": {}}}
ENV: JsonObject = {**MINE, 'k:{"name":"THEIRS"}': {".": {}, "f:value": {}}}
PORTS: JsonObject = {'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}


def _container(tree: JsonObject) -> Json:
    match tree:
        case {"spec": {"template": {"spec": {"containers": [container]}}}}:
            return container
        case _:
            pytest.fail(f"no container in {tree}")


def test_fields_and_items_of_others_are_left_out_and_told() -> None:
    theirs: JsonObject = {"f:metadata": {"f:annotations": {"f:a.b/c": {}}}, **_containers(**{"f:env": ENV})}
    found = without_additions(_live(("bateau", _containers(**{"f:image": LEAF})), ("kubectl-edit", theirs)), WANTED)
    assert _container(found.tree) == {
        "name": "web",
        "image": "web:1",
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
    }
    assert found.added == {
        "metadata.annotations": "kubectl-edit",
        "spec.template.spec.containers[name=web].env": "kubectl-edit",
    }


def test_a_field_that_bateau_holds_too_is_kept_so_that_its_removal_is_planned() -> None:
    mine = _containers(**{"f:image": LEAF, "f:env": MINE})
    found = without_additions(_live(("bateau", mine), ("kubectl-edit", _containers(**{"f:env": ENV}))), WANTED)
    container = _container(found.tree)
    assert isinstance(container, dict)
    assert container["env"] == [{"name": "MINE", "value": "1"}]
    assert found.added == {"spec.template.spec.containers[name=web].env[name=THEIRS]": "kubectl-edit"}


def test_only_the_items_of_others_are_left_out_of_a_list_that_is_wanted() -> None:
    env: Json = [{"name": "MINE", "value": "1"}]
    wanted: JsonObject = {"spec": {"template": {"spec": {"containers": [{"name": "web", "env": env}]}}}}
    mine = _containers(**{"f:env": MINE})
    found = without_additions(_live(("bateau", mine), ("kubectl-edit", _containers(**{"f:env": ENV}))), wanted)
    container = _container(found.tree)
    assert isinstance(container, dict)
    assert container["env"] == env
    assert found.added == {"spec.template.spec.containers[name=web].env[name=THEIRS]": "kubectl-edit"}


def test_an_item_of_the_specs_may_leave_out_a_part_of_its_key() -> None:
    ports: Json = [{"containerPort": 8080}]
    wanted: JsonObject = {"spec": {"template": {"spec": {"containers": [{"name": "web", "ports": ports}]}}}}
    found = without_additions(_live(("kubectl-edit", _containers(**{"f:ports": PORTS}))), wanted)
    container = _container(found.tree)
    assert isinstance(container, dict)
    assert container["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]


def test_what_nobody_holds_stays_and_the_status_of_a_controller_counts_for_nothing() -> None:
    live = _live(("kube-controller-manager", _containers(**{"f:env": ENV})), subresource="status")
    found = without_additions(live, WANTED)
    assert (found.tree, found.added) == (live, {})


def test_an_item_of_a_set_that_another_has_added_is_left_out() -> None:
    fields: Json = [{"manager": "other", "fieldsV1": {"f:metadata": {"f:finalizers": {'v:"b"': {}}}}}]
    live: JsonObject = {"metadata": {"finalizers": ["a", "b"], "managedFields": fields}}
    found = without_additions(live, {"metadata": {"finalizers": ["a"]}})
    assert found.tree == {"metadata": {"finalizers": ["a"], "managedFields": fields}}
    assert found.added == {"metadata.finalizers[b]": "other"}
