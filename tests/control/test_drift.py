"""Drift: a field that differs from the specs and that another manager holds."""

from typing import Literal

import pytest

from bateau.control.destinations import without_autoscaled
from bateau.control.drift import with_drift
from bateau.domain.change import Change, Delivery, FieldChange, ObjectKey
from bateau.kit.json_value import Json, JsonObject
from bateau.plan import compare
from plan.objects import manifest

KEY: ObjectKey = ("apps", "Deployment", "prod", "web")


def _deployment(**spec: Json) -> JsonObject:
    meta: JsonObject = {"name": "web", "namespace": "prod"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def _plan() -> Delivery:
    def containers(image: str) -> JsonObject:
        return {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}

    desired = _deployment(replicas=2, **containers("web:1"))
    observed = _deployment(replicas=5, **containers("web:2"))
    return compare([manifest(desired)], [observed])


IMAGE = "spec.template.spec.containers[0].image"
HELD = "spec.template.spec.containers[name=web].image"


@pytest.mark.parametrize(
    ("policy", "created", "repaired"),
    [("repair", {KEY}, True), ("report", {KEY}, False), ("repair", set[ObjectKey](), False)],
)
def test_drift_is_repaired_on_created_objects_only(
    policy: Literal["repair", "report"], created: set[ObjectKey], repaired: bool
) -> None:
    found = with_drift(_plan(), {KEY: {HELD: "kubectl-edit"}}, created, policy, added={})
    assert found.drift is not None
    every = ((KEY, IMAGE, "kubectl-edit"),)
    assert (found.drift.repaired, found.drift.left) == ((every, ()) if repaired else ((), every))
    assert {fold.edit.shown: fold.edit.holder for fold in found.folds if fold.edit} == {
        IMAGE: "kubectl-edit",
        "spec.replicas": None,
    }


def test_the_holder_of_a_whole_holds_its_parts() -> None:
    found = with_drift(_plan(), {KEY: {"spec.template.spec.containers": "istio"}}, {KEY}, "repair", added={})
    assert found.drift is not None
    assert found.drift.repaired == ((KEY, IMAGE, "istio"),)


def test_the_replicas_of_an_autoscaler_are_never_taken_back() -> None:
    holders = {KEY: {"spec.replicas": "kube-controller-manager"}}
    found = with_drift(_plan(), holders, {KEY}, "repair", added={})
    assert found.drift is not None
    assert found.drift.repaired == ()


def test_the_replicas_of_an_autoscaled_workload_are_not_applied() -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "prod"},
        "spec": {"scaleTargetRef": reference},
    }
    (web, _) = without_autoscaled([manifest(_deployment(replicas=2, paused=True)), manifest(scaler)])
    assert web.tree["spec"] == {"paused": True}
    (web,) = without_autoscaled([manifest(_deployment(replicas=2))])
    assert web.tree["spec"] == {"replicas": 2}


def test_items_are_found_by_their_keys_beside_the_only_item_of_a_list() -> None:
    path = "spec.template.spec.containers[0].env[name=LEVEL].value"
    edit = FieldChange(path=path, shown=path, before="a", after="b")
    plan = Delivery(changes=(Change(act="change", key=KEY, fields=(edit,)),))
    held = "spec.template.spec.containers[name=web].env[name=LEVEL].value"
    found = with_drift(
        plan, {KEY: {held.replace("LEVEL", "OTHER"): "helm", held: "kubectl"}}, {KEY}, "repair", added={}
    )
    assert found.drift is not None
    assert found.drift.repaired == ((KEY, path, "kubectl"),)
