"""Desired against observed: what a plan says of objects that come, change, are renamed and go."""

import copy
from typing import Any

import pytest

from bateau.domain.change import ABSENT, SECRET, Delivery
from bateau.domain.origin import Origin
from bateau.kit.position import Position
from bateau.plan import Limits, compare
from plan.objects import container, deployment, manifest, thing


def plan(desired: list[Any], observed: list[Any], **options: Any) -> Delivery:
    return compare([manifest(tree) for tree in desired], observed, **options)


def only(delivery: Delivery) -> Any:
    assert len(delivery.changes) == 1, delivery.changes
    return delivery.changes[0]


def test_equal_sides_change_nothing() -> None:
    delivery = plan([deployment()], [deployment()])
    assert (delivery.pending, delivery.changes, delivery.steps, delivery.objects_same) == (False, (), (), 1)


def test_a_new_image_restarts_and_says_where_it_was_written() -> None:
    path = "spec.template.spec.containers[0].image"
    chain = (Origin("written", Position("services/shop.yaml", 6, 10), "shop:1.4.2"),)
    desired = manifest(deployment(image="shop:1.4.2"), service="app/shop", origins={path: chain})
    change = only(compare([desired], [deployment()]))
    (edit,) = change.fields
    assert (edit.path, edit.before, edit.after, edit.origins) == (path, "shop:1.4.1", "shop:1.4.2", chain)
    assert (change.act, change.effect, change.service) == ("change", "restart", "app/shop")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (deployment(), deployment(replicas=5)),
        (
            thing("shop", "HorizontalPodAutoscaler", "autoscaling/v2", spec={"maxReplicas": 4}),
            thing("shop", "HorizontalPodAutoscaler", "autoscaling/v2", spec={"maxReplicas": 6}),
        ),
        (
            thing("shop", "PodDisruptionBudget", "policy/v1", spec={"minAvailable": 1}),
            thing("shop", "PodDisruptionBudget", "policy/v1", spec={"minAvailable": 2}),
        ),
    ],
    ids=["replicas", "autoscaler", "disruption budget"],
)
def test_what_only_counts_pods_is_in_place(before: Any, after: Any) -> None:
    assert only(plan([after], [before])).effect == "in place"


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (deployment(), deployment(selector={"matchLabels": {"app": "x"}}), "spec.selector"),
        (
            thing("db", "Service", spec={"clusterIP": "10.0.0.7"}),
            thing("db", "Service", spec={"clusterIP": "None"}),
            "spec.clusterIP",
        ),
        (
            thing("db", "StatefulSet", "apps/v1", spec={"volumeClaimTemplates": [thing("data", spec={"size": 1})]}),
            thing("db", "StatefulSet", "apps/v1", spec={"volumeClaimTemplates": [thing("data", spec={"size": 2})]}),
            "spec.volumeClaimTemplates",
        ),
        (
            thing("a", "RoleBinding", "rbac.authorization.k8s.io/v1", roleRef={"kind": "Role", "name": "x"}),
            thing("a", "RoleBinding", "rbac.authorization.k8s.io/v1", roleRef={"kind": "Role", "name": "y"}),
            "roleRef.name",
        ),
        (thing("a", immutable=True, data={"k": "1"}), thing("a", immutable=True, data={"k": "2"}), "data.k"),
    ],
    ids=["selector", "clusterIP", "volumeClaimTemplates", "roleRef", "immutable ConfigMap"],
)
def test_what_cannot_be_changed_is_recreated_with_a_reason(before: Any, after: Any, path: str) -> None:
    change = only(plan([after], [before]))
    assert (change.act, change.effect) == ("recreate", "recreate")
    assert path in change.reasons[0]
    assert "deleted and recreated" in change.reasons[0]


def test_an_edit_of_a_kind_that_nothing_is_known_of_is_not_checked() -> None:
    change = only(plan([thing("a", "Widget", "x.io/v1", spec=1)], [thing("a", "Widget", "x.io/v1", spec=2)]))
    assert (change.effect, change.reasons) == (
        "unknown",
        ("not checked: the effect of spec depends on the operator of Widget (x.io)",),
    )


def test_what_the_server_adds_is_no_difference() -> None:
    live = deployment()
    live["status"] = {"readyReplicas": 2}
    live["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 3, "managedFields": [{"manager": "x"}]}
    live["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "4"}
    live["spec"] |= {"revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
    live["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    live["spec"]["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {}}
    container(live).update(imagePullPolicy="IfNotPresent", terminationMessagePath="/dev/termination-log")
    container(live)["ports"][0]["protocol"] = "TCP"
    container(live)["resources"]["limits"] = {"cpu": "500m", "memory": "1024Mi"}
    assert plan([deployment()], [live]).changes == ()


def test_a_hand_edited_default_is_a_difference() -> None:
    live = deployment()
    live["spec"]["revisionHistoryLimit"] = 3
    assert [f.shown for f in only(plan([deployment()], [live])).fields] == ["spec.revisionHistoryLimit"]


def test_replicas_that_an_autoscaler_counts_are_no_difference() -> None:
    desired = deployment()
    del desired["spec"]["replicas"]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
    scaler = thing("shop", "HorizontalPodAutoscaler", "autoscaling/v2", spec={"scaleTargetRef": target})
    assert plan([desired, scaler], [deployment(replicas=7), scaler]).changes == ()
    assert [f.after for f in only(plan([desired], [deployment(replicas=7)])).fields]


def test_items_of_lists_are_told_apart_by_name() -> None:
    desired = deployment()
    container(desired)["env"] = [
        {"name": "COLOR", "value": "blue"},
        {"name": "LEVEL", "value": "debug"},
    ]
    shown = {f.shown.rpartition("[0].")[2]: f.after for f in only(plan([desired], [deployment()])).fields}
    assert shown == {
        "env[name=COLOR]": {"name": "COLOR", "value": "blue"},
        "env[name=LEVEL].value": "debug",
        "env[name=REGION]": ABSENT,
    }


def test_steps_bring_needs_first_and_take_away_in_reverse() -> None:
    kinds = [
        thing("n", "NetworkPolicy", "networking.k8s.io/v1"),
        deployment("d"),
        thing("s", "Service"),
        thing("c"),
        thing("a", "ServiceAccount"),
        thing("crd", "CustomResourceDefinition", "apiextensions.k8s.io/v1"),
        thing("ns", "Namespace"),
    ]
    coming = [step.key[1] for step in plan(kinds, []).steps]
    going = [step.key[1] for step in plan([], kinds).steps]
    assert coming == [tree["kind"] for tree in reversed(kinds)]
    assert going == [tree["kind"] for tree in kinds]
    assert all(step.reason for step in plan(kinds, []).steps)


def test_removals_come_after_everything_else() -> None:
    delivery = plan([thing("p", "NetworkPolicy", "networking.k8s.io/v1")], [thing("old")])
    assert [(s.act, s.key[3]) for s in delivery.steps] == [("apply", "p"), ("remove", "old")]


def test_the_same_content_under_another_name_is_a_rename_and_counts_as_a_removal() -> None:
    delivery = plan([deployment("store", image="i")], [deployment("shop", image="i")])
    change = only(delivery)
    assert (change.act, change.key[3], change.renamed_from) == ("rename", "store", ("apps", "Deployment", "", "shop"))
    assert delivery.removals == (("apps", "Deployment", "", "shop"),)
    assert [(s.act, s.key[3]) for s in delivery.steps] == [("apply", "store"), ("remove", "shop")]


def test_a_rename_that_could_mean_two_objects_is_none() -> None:
    delivery = plan([thing("c", data={"k": "v"})], [thing("a", data={"k": "v"}), thing("b", data={"k": "v"})])
    assert sorted(change.act for change in delivery.changes) == ["create", "remove", "remove"]


def test_many_removals_need_their_exact_number() -> None:
    observed = [thing(f"c{n}", data={"n": str(n)}) for n in range(10)]
    assert plan(observed[2:], observed).needs_confirmation is None
    assert plan(observed[7:], observed[5:]).needs_confirmation is None
    asked = plan(observed[3:], observed)
    assert (asked.needs_confirmation, len(asked.removals)) == (3, 3)
    assert [problem.hint for problem in asked.problems] == ["check the list, then confirm with --yes-remove 3"]
    assert plan(observed[3:], observed, limits=Limits(removals_confirmed=3)).problems == ()
    assert "not 4" in plan(observed[3:], observed, limits=Limits(removals_confirmed=4)).problems[0].says


def test_what_is_not_ours_is_left_alone_and_said() -> None:
    ours = thing("ours") | {"metadata": {"name": "ours", "labels": {"managed": "bateau"}}}
    delivery = plan([], [ours, thing("theirs")], limits=Limits(owner=("managed", "bateau")))
    assert [key[3] for key in delivery.removals] == ["ours"]
    assert [key[3] for key in delivery.left_alone] == ["theirs"]


def test_who_reads_changed_configuration_is_said() -> None:
    def reader(name: str, checksum: str, source: dict[str, Any]) -> dict[str, Any]:
        tree = deployment(name)
        tree["spec"]["template"]["metadata"]["annotations"] = {"checksum/config": checksum}
        tree["spec"]["template"]["spec"] |= source
        return tree

    mounted: dict[str, Any] = {"volumes": [{"name": "v", "configMap": {"name": "conf"}}]}
    before = [reader("a", "1", mounted), reader("b", "1", mounted), deployment("c"), thing("conf", data={"k": "1"})]
    container(before[2])["envFrom"] = [{"configMapRef": {"name": "conf"}}]
    after = copy.deepcopy(before)
    after[0]["spec"]["template"]["metadata"]["annotations"]["checksum/config"] = "2"
    after[3]["data"]["k"] = "2"
    changes = {change.key[3]: change for change in plan(after, before).changes}
    assert changes["a"].effect == "restart"
    assert changes["conf"].reasons == (
        "Deployment a restarts and reads it",
        "Deployment b does not restart; its mounted files follow within about a minute",
        "Deployment c does not restart; it reads a variable only when it starts",
    )


def test_values_of_secrets_are_in_no_part_of_a_plan() -> None:
    before = [thing("s", "Secret", data={"password": "b2xk"}), deployment()]
    after = [thing("s", "Secret", stringData={"password": "hunter2"}), deployment()]
    container(before[1])["env"].append({"name": "DB_PASSWORD", "value": "hunter1"})
    container(after[1])["env"] += [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "T_TOKEN", "value": "hunter3"}]
    origins = {"stringData.password": (Origin("expression", Position("a.yaml", 3, 1), "hunter2", "'hunter2'"),)}
    desired = [manifest(after[0], origins=origins), manifest(after[1])]
    delivery = compare(desired, before)
    assert "hunter" not in repr(delivery)
    assert "b2xk" not in repr(delivery)
    (secret,) = [change for change in delivery.changes if change.key[1] == "Secret"]
    assert [(f.path, f.after, f.secret, f.origins[0].at) for f in secret.fields] == [
        ("data.password", SECRET, True, Position("a.yaml", 3, 1))
    ]


def test_an_equal_secret_in_its_other_form_is_no_difference() -> None:
    assert plan([thing("s", "Secret", stringData={"k": "a"})], [thing("s", "Secret", data={"k": "YQ=="})]).changes == ()


def test_two_manifests_for_one_object_are_a_problem() -> None:
    trees = [thing("a", data={"k": "1"}), thing("a", data={"k": "2"})]
    there, back = plan(trees, []), plan(trees[::-1], [])
    assert there == back
    assert "two desired manifests describe ConfigMap a" in there.problems[0].says


def test_what_is_no_object_is_a_problem_and_hinders_no_other() -> None:
    delivery = plan([{"kind": "ConfigMap"}, {"apiVersion": "v1", "kind": "A"}, thing("a")], [])
    assert [p.says for p in delivery.problems] == [
        "a desired manifest has no apiVersion and kind",
        "a desired manifest has no metadata.name",
    ]
    assert only(delivery).key[3] == "a"


def of(kind: str, api: str = "v1", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "x"}, "spec": spec}


def rate(value: Any) -> dict[str, Any]:
    return of("Rate", "example.org/v1", limits={"rate": value})


def quota(name: str, amount: str) -> dict[str, Any]:
    return of("ResourceQuota", hard={name: amount})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            of("Rate", "example.org/v1", limits={"rate": "0.2"}),
            of("Rate", "example.org/v1", limits={"rate": "0.9"}),
        ),
        (rate("0.2"), rate("0.9")),
        (rate(1), rate("1")),
        (quota("nvidia.com/gpu", "0.2"), quota("nvidia.com/gpu", "0.9")),
    ],
)
def test_what_only_looks_like_one_quantity_is_a_difference(before: Any, after: Any) -> None:
    assert plan([after], [before]).pending


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (quota("requests.cpu", "500m"), quota("requests.cpu", "0.5")),
        (
            of("LimitRange", limits=[{"type": "Container", "default": {"cpu": "1"}}]),
            of("LimitRange", limits=[{"type": "Container", "default": {"cpu": "1000m"}}]),
        ),
        (
            of(
                "HorizontalPodAutoscaler",
                "autoscaling/v2",
                behavior={
                    "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max"},
                    "scaleDown": {
                        "stabilizationWindowSeconds": 60,
                        "selectPolicy": "Max",
                        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                    },
                },
            ),
            of(
                "HorizontalPodAutoscaler",
                "autoscaling/v2",
                behavior={"scaleDown": {"stabilizationWindowSeconds": 60}},
            ),
        ),
    ],
)
def test_the_same_amount_and_what_the_server_fills_in_is_no_difference(before: Any, after: Any) -> None:
    assert not plan([after], [before]).pending
