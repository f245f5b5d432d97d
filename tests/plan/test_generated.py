"""Objects that Kubernetes names itself are created each time, and never compared, paired or removed (F30)."""

from typing import Any

from bateau.cli.plan_text import plan_text
from bateau.plan import compare
from plan.objects import manifest, thing


def job(image: str = "a", prefix: str = "migrate-") -> dict[str, Any]:
    spec = {"template": {"spec": {"containers": [{"name": "a", "image": image}]}}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": prefix}, "spec": spec}


def test_each_apply_creates_it_again_and_the_plan_says_so() -> None:
    """F30: two services may have one prefix; the same on both sides is still another object each time."""
    desired = [manifest(job(), service="app/a"), manifest(job(), service="app/b"), manifest(thing("kept"))]
    delivery = compare(desired, [job(), thing("kept")])
    assert [(each.act, each.key[3], each.service) for each in delivery.changes] == [
        ("create", "migrate-*", "app/a"),
        ("create", "migrate-*", "app/b"),
    ]
    assert {each.reasons for each in delivery.changes} == {
        ("each `kubectl create` creates it again, under a new name (metadata.generateName)",)
    }
    assert delivery.problems == ()
    assert "each `kubectl create` creates it again" in plan_text(delivery)


def test_one_that_is_no_longer_desired_is_no_removal() -> None:
    delivery = compare([manifest(thing("kept"))], [job(), thing("kept")])
    assert (delivery.changes, delivery.removals, delivery.problems) == ((), (), ())


def test_it_is_never_paired_with_an_object_that_goes() -> None:
    gone = thing("migrate-xyz", "Job", "batch/v1", spec=job()["spec"])
    delivery = compare([manifest(job())], [gone])
    assert [each.act for each in delivery.changes] == ["create", "remove"]
