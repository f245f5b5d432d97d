"""The status of a document: what is known, what is not, and since when."""

import pytest

from bateau.control.conditions import Verdict, status_of, verdict
from bateau.control.declared import Declared
from bateau.domain.object_state import ObjectPhase, ObjectState
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.workload import ServiceKey
from bateau.kit.json_value import JsonObject
from bateau.ports.runtime import Observed

KEY = ServiceKey("app/web")
DECLARED = Declared()


def seen(phase: ObjectPhase = "current", *states: ReplicaState, says: str = "", unknown: str | None = None) -> Observed:
    """Return a service with one object, and a replica in each state."""
    replicas = tuple(
        Replica(
            id=f"shop/web-{index}",
            service=KEY,
            revision="1",
            state=state,
            pid=None,
            addresses={},
            restarts=0,
            since=0.0,
            reason=says or None,
        )
        for index, state in enumerate(states)
    )
    each = ObjectState(key=("apps", "Deployment", "shop", "web"), service=KEY, phase=phase, says=says)
    moving = frozenset[str]() if each.settled else frozenset({str(KEY)})
    return Observed(replicas=replicas, objects=(each,), moving=moving, unknown=unknown)


@pytest.mark.parametrize(
    ("declared", "observed", "trouble", "ready", "reason"),
    [
        (DECLARED, seen("current", ReplicaState.READY), None, "True", "Healthy"),
        (DECLARED, seen("in progress", ReplicaState.STARTING), None, "False", "Progressing"),
        (DECLARED, seen("failed", says="exceeded its deadline"), None, "False", "Failed"),
        (DECLARED, seen("in progress", ReplicaState.READY, ReplicaState.BACKOFF), None, "False", "Degraded"),
        (None, seen(), None, "Unknown", "NotReconciled"),
        (DECLARED, seen("current", ReplicaState.READY), "cannot be read", "Unknown", "NotReconciled"),
        (DECLARED, seen("current", ReplicaState.READY, unknown="away"), None, "Unknown", "NotObserved"),
        (Declared(refused={KEY: "no such Model"}), seen(), None, "False", "Refused"),
        (Declared(wrong="policy/house"), seen(), None, "False", "Refused"),
        (Declared(elsewhere={KEY: "it runs elsewhere"}), seen(), None, "Unknown", "NotOnThisCluster"),
    ],
)
def test_a_service_is_ready_only_if_that_is_known(
    declared: Declared | None, observed: Observed, trouble: str | None, ready: str, reason: str
):
    found = verdict(KEY, declared, observed, trouble=trouble)
    assert (found.ready, found.reason) == (ready, reason)
    assert found.message


def test_a_service_that_grows_is_not_degraded():
    found = verdict(KEY, DECLARED, seen("in progress", ReplicaState.READY, ReplicaState.STARTING))
    assert (found.reason, found.progressing, found.degraded) == ("Progressing", "True", "False")
    found = verdict(KEY, DECLARED, seen("in progress", ReplicaState.READY, ReplicaState.STARTING, says="not scheduled"))
    assert (found.reason, found.progressing, found.degraded) == ("Progressing", "True", "True")


def test_the_message_names_the_object_that_is_waited_for():
    assert "Deployment shop/web" in verdict(KEY, DECLARED, seen("in progress", says="0 of 1")).message


def test_a_condition_keeps_its_time_until_its_truth_changes():
    observed = seen("current", ReplicaState.READY)

    def status(found: Verdict, before: JsonObject, now: str) -> JsonObject:
        return status_of(KEY, found, observed, generation=2, before=before, now=now)

    def times(tree: JsonObject) -> list[object]:
        listed = tree["conditions"]
        assert isinstance(listed, list)
        return [each["lastTransitionTime"] for each in listed if isinstance(each, dict)]

    first = status(verdict(KEY, DECLARED, observed), {}, "1")
    assert times(first) == ["1", "1", "1"]
    assert status(verdict(KEY, DECLARED, observed), first, "2") == first
    later = status(verdict(KEY, Declared(refused={KEY: "no"}), observed), first, "3")
    assert times(later) == ["3", "1", "3"]
    assert (first["replicas"], first["readyReplicas"], first["observedGeneration"]) == (1, 1, 2)
