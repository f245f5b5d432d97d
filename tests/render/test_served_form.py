"""Objects in the form in which an API server keeps them, without a server."""

from typing import Any

from bateau.wiring.schemas import load_schemas


def _pod(**spec: Any) -> Any:
    tree: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {}}, "spec": spec}
    return load_schemas().with_defaults(tree)


def test_a_zero_that_means_absent_is_absent_and_one_that_means_something_stays() -> None:
    """F9: `has(spec.hostNetwork)` was true here and false at the server."""
    made = _pod(hostNetwork=False, hostUsers=False, nodeSelector={}, containers=[], volumes=[])
    assert made["metadata"] == {"name": "a"}
    assert made["spec"]["hostUsers"] is False
    assert made["spec"]["containers"] == []
    assert not made["spec"].keys() & {"hostNetwork", "nodeSelector", "volumes"}


def test_a_zero_gives_way_to_the_default() -> None:
    container = {"name": "a", "image": "a:1", "imagePullPolicy": "", "ports": [{"containerPort": 1, "protocol": ""}]}
    (made,) = _pod(containers=[container])["spec"]["containers"]
    assert (made["imagePullPolicy"], made["ports"]) == ("IfNotPresent", [{"containerPort": 1, "protocol": "TCP"}])


def test_the_values_of_maps_stay_and_quantities_are_canonical() -> None:
    limits = {"cpu": 1, "memory": "1024Mi", "example.com/x": "0", "odd": "many"}
    made = _pod(nodeSelector={"a": ""}, containers=[{"name": "a", "image": "a:1", "resources": {"limits": limits}}])
    assert made["spec"]["nodeSelector"] == {"a": ""}
    assert made["spec"]["containers"][0]["resources"]["limits"] == {
        "cpu": "1",
        "memory": "1Gi",
        "example.com/x": "0",
        "odd": "many",
    }


def test_a_value_of_another_type_stays() -> None:
    assert _pod(containers="many", volumes={"a": [None]})["spec"]["containers"] == "many"
