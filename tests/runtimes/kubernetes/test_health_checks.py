"""The health of third-party kinds by declared expressions."""

import pytest

from bateau.kit.json_value import JsonObject
from bateau.runtimes.kubernetes.health_checks import Check, DeclaredHealth
from bateau.specs.kinds.environment import OBJECT_FIELDS

CHECK = Check(
    group="db.example",
    kind="Database",
    current="status.phase == 'Ready' && status.members == spec.members",
    failed="status.phase == 'Broken'",
    in_progress="status.phase == 'Moving'",
)
JUDGE = DeclaredHealth([CHECK], OBJECT_FIELDS)


def _database(**status: str | int) -> JsonObject:
    return {"apiVersion": "db.example/v2", "kind": "Database", "spec": {"members": 3}, "status": {**status}}


@pytest.mark.parametrize(
    ("tree", "state"),
    [
        (_database(phase="Ready", members=3), "current"),
        (_database(phase="Ready", members=2), "in progress"),
        (_database(phase="Broken"), "failed"),
        (_database(phase="Moving"), "in progress"),
        (_database(), "in progress"),
        ({"apiVersion": "db.example/v2", "kind": "Backup"}, "unknown"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}, "current"),
    ],
)
def test_an_expression_judges_its_kind_and_kstatus_the_others(tree: JsonObject, state: str) -> None:
    assert JUDGE(tree).state == state


def test_an_expression_that_cannot_be_evaluated_is_told() -> None:
    assert "cannot be evaluated yet" in JUDGE(_database()).says


def test_an_object_that_is_deleted_or_not_seen_by_its_controller_is_not_current() -> None:
    deleted: JsonObject = {**_database(phase="Ready", members=3), "metadata": {"deletionTimestamp": "2026-01-01"}}
    assert JUDGE(deleted).state == "terminating"
    newer: JsonObject = {**_database(phase="Ready", members=3, observedGeneration=1), "metadata": {"generation": 2}}
    assert JUDGE(newer).state == "in progress"
