"""Which removals need a confirmation, and in which order they are read."""

from typing import Any

import pytest

from bateau.cli.plan_text import plan_text
from bateau.domain.change import Delivery
from bateau.plan import Limits, compare
from plan.objects import manifest, thing

CRD = ("CustomResourceDefinition", "apiextensions.k8s.io/v1")


def plan(desired: list[Any], observed: list[Any], **options: Any) -> Delivery:
    return compare([manifest(tree) for tree in desired], observed, **options)


def others(count: int) -> list[dict[str, Any]]:
    return [thing(f"c{n}", data={"n": str(n)}) for n in range(count)]


@pytest.mark.parametrize(
    ("gone", "lost"),
    [
        (thing("a", "Namespace"), "every object in the namespace is deleted with it"),
        (thing("a", "PersistentVolumeClaim"), "its data may be lost"),
        (thing("a", "PersistentVolume"), "its data may be lost"),
        (thing("a", *CRD), "every object of this kind is deleted with it"),
        (thing("a", "Application", "argoproj.io/v1alpha1"), "the objects that it deploys may be deleted with it"),
        (thing("a", "Cluster", "postgresql.cnpg.io/v1"), "its data may be lost"),
        (
            thing(
                "a", "StatefulSet", "apps/v1", spec={"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}
            ),
            "its volumes are deleted with it",
        ),
    ],
    ids=["namespace", "claim", "volume", "definition", "deployer", "database", "stateful set that deletes its claims"],
)
def test_f27_a_removal_that_takes_others_or_data_along_is_always_asked_about(gone: Any, lost: str) -> None:
    """F27: four Namespaces of 49 objects went without a question, as they were less than a fifth."""
    kept = others(200)
    delivery = plan(kept, [*kept, gone])
    assert (delivery.needs_confirmation, delivery.unconfirmed, delivery.wrong) == (1, True, True)
    assert lost in delivery.changes[-1].reasons
    assert delivery.problems[0].hint == "check the list, then confirm with --yes-remove 1"
    assert "and with them the contents of" in delivery.problems[0].says
    assert not plan(kept, [*kept, gone], limits=Limits(removals_confirmed=1)).wrong


@pytest.mark.parametrize("gone", [thing("a", "Secret"), thing("a", "StatefulSet", "apps/v1", spec={})])
def test_a_removal_that_takes_nothing_along_is_not(gone: Any) -> None:
    kept = others(200)
    assert plan(kept, [*kept, gone]).needs_confirmation is None


def test_f27_a_rename_of_a_namespace_is_asked_about_and_stands_first() -> None:
    """F27: the renamed Namespace stood below removals of HelmRepositories."""
    kept = others(200)
    observed = [*kept, thing("apps", "Namespace"), thing("r", "HelmRepository", "source.toolkit.fluxcd.io/v1")]
    delivery = plan([*kept, thing("shops", "Namespace")], observed)
    assert delivery.needs_confirmation == 2
    assert [key[1] for key in delivery.removals] == ["Namespace", "HelmRepository"]
    assert [line[:20] for line in plan_text(delivery).splitlines()[1:3]] == [
        "> Namespace shops   ",
        "- HelmRepository r  ",
    ]


def test_f27_destructive_removals_come_before_all_others() -> None:
    """F27: order by danger."""
    observed = [*others(3), thing("z", "Namespace"), thing("a", "Secret"), thing("y", *CRD)]
    delivery = plan([], observed)
    assert [fold.objects[0][1] for fold in delivery.folds[:2]] == ["Namespace", "CustomResourceDefinition"]
    assert {key[1] for key in delivery.removals[:2]} == {"Namespace", "CustomResourceDefinition"}


def test_f27_a_claim_that_must_be_recreated_loses_its_data_and_is_asked_about() -> None:
    """F27: a recreation removes the object, too."""
    kept = others(200)
    claims = [thing("data", "PersistentVolumeClaim", spec={"storageClassName": name}) for name in ("fast", "slow")]
    delivery = plan([*kept, claims[1]], [*kept, claims[0]])
    assert delivery.needs_confirmation == 1
    assert [key[3] for key in delivery.removals] == ["data"]
    assert "deleted and recreated; its data may be lost" in delivery.changes[0].reasons[0]
