"""The health of an object follows from the object alone, and what it does not say is not healthy."""

import pytest

from bateau.kit.json_value import Json, JsonObject
from bateau.kit.kstatus import health


def tree(api: str, kind: str, *, spec: JsonObject | None = None, status: JsonObject | None = None) -> JsonObject:
    """Return an object of generation 2."""
    made: JsonObject = {"apiVersion": api, "kind": kind, "metadata": {"name": "x", "generation": 2}}
    return {**made, **({"spec": spec} if spec else {}), **({"status": status} if status else {})}


def condition(kind: str, status: str, *, reason: str = "", message: str = "") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def deployment(
    wanted: int, counts: dict[str, int], *, observed: int = 2, conditions: tuple[Json, ...] = ()
) -> JsonObject:
    status: JsonObject = {"observedGeneration": observed, **counts, "conditions": list(conditions)}
    return tree("apps/v1", "Deployment", spec={"replicas": wanted}, status=status)


def _replicas(every: int, updated: int, available: int) -> dict[str, int]:
    return {"replicas": every, "updatedReplicas": updated, "availableReplicas": available}


def _said(kind: str, status: str, *, reason: str = "", message: str = "") -> JsonObject:
    return {"conditions": [condition(kind, status, reason=reason, message=message)]}


LATE = condition("Progressing", "False", reason="ProgressDeadlineExceeded", message="late")
QUOTA = condition("ReplicaFailure", "True", message="exceeded quota")
PENDING: JsonObject = {"phase": "Pending", **_said("PodScheduled", "False", message="0/3 nodes")}
RUNNING: JsonObject = {"phase": "Running", **_said("Ready", "True")}
CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
THING = ("example.org/v1", "Thing")


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (deployment(2, _replicas(2, 2, 2)), "current", ""),
        (deployment(2, _replicas(2, 2, 2), observed=1), "in progress", "not seen the change"),
        (deployment(2, _replicas(3, 2, 2)), "in progress", "1 replicas of the old"),
        (deployment(2, _replicas(2, 1, 2)), "in progress", "1 of 2 replicas are of"),
        (deployment(2, _replicas(2, 2, 1)), "in progress", "1 of 2 replicas are ready"),
        (tree("apps/v1", "Deployment", spec={"replicas": 1}), "in progress", "not seen it yet"),
        (deployment(2, {}, conditions=(LATE,)), "failed", "late"),
        (deployment(2, _replicas(2, 2, 2), conditions=(QUOTA,)), "failed", "exceeded quota"),
        (deployment(0, _replicas(0, 0, 0)), "current", ""),
        (tree("v1", "Pod", status=PENDING), "in progress", "0/3 nodes"),
        (tree("v1", "Pod", status=RUNNING), "current", ""),
        (tree("v1", "Pod", status={"phase": "Failed", "message": "evicted"}), "failed", "evicted"),
        (tree("batch/v1", "Job", status=_said("Failed", "True", message="limit")), "failed", "limit"),
        (tree("batch/v1", "Job", status={"startTime": "2026-01-01T00:00:00Z"}), "current", ""),
        (tree("v1", "PersistentVolumeClaim", status={"phase": "Pending"}), "in progress", "Pending"),
        (tree("v1", "Service", spec={"type": "LoadBalancer"}), "in progress", "no address"),
        (tree("v1", "Service", spec={"type": "ClusterIP"}), "current", ""),
        (tree("v1", "ConfigMap"), "current", ""),
        (tree(*CRD), "in progress", "does not serve it"),
        (tree(*CRD, status=_said("Established", "True")), "current", ""),
        (tree(*THING, status=_said("Ready", "True")), "current", ""),
        (tree(*THING, status=_said("Ready", "False", message="no disk")), "in progress", "no disk"),
        (tree(*THING, status=_said("Stalled", "True", message="bad spec")), "failed", "bad spec"),
        (tree(*THING, status={"observedGeneration": 1}), "in progress", "not seen the change"),
    ],
)
def test_each_kind_says_how_it_is(found: JsonObject, state: str, says: str) -> None:
    told = health(found)
    assert told.state == state
    assert says in told.says


def test_an_object_that_says_nothing_is_unknown() -> None:
    assert health(tree("example.org/v1", "Thing")).state == "unknown"
    assert health(tree("example.org/v1", "Thing", status={"phase": "Fine"})).state == "unknown"
    assert health(tree("gateway.networking.k8s.io/v1", "GatewayClass")).state == "unknown"


def test_an_object_that_is_being_deleted_names_what_it_waits_for() -> None:
    found = tree("v1", "ConfigMap")
    found["metadata"] = {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.org/hold"]}
    assert health(found).state == "terminating"
    assert "example.org/hold" in health(found).says


def _parent(*found: Json) -> JsonObject:
    return {"parents": [{"parentRef": {"name": "public"}, "conditions": list(found)}]}


@pytest.mark.parametrize(
    ("status", "state", "says"),
    [
        ({}, "in progress", "no Gateway has accepted it yet"),
        (_parent(condition("Accepted", "True"), condition("ResolvedRefs", "True")), "current", ""),
        (_parent(condition("Accepted", "True")), "in progress", "Gateway public: not ResolvedRefs"),
        (
            _parent(condition("Accepted", "False", reason="NoReadyListeners", message="none is ready")),
            "in progress",
            "Gateway public: none is ready",
        ),
        (
            _parent(condition("Accepted", "False", reason="NoMatchingListenerHostname", message="no intersections")),
            "failed",
            "Gateway public: none of its listeners has a host name of the route",
        ),
        (
            _parent(condition("Accepted", "False", reason="NotAllowedByListeners")),
            "failed",
            "Gateway public: none of its listeners admits the route; see their allowedRoutes",
        ),
        (
            _parent({"type": "Accepted", "status": "True", "observedGeneration": 1}),
            "in progress",
            "Gateway public has not seen the change yet",
        ),
    ],
)
def test_a_route_is_judged_by_each_of_its_gateways(status: JsonObject, state: str, says: str) -> None:
    found = health(tree("gateway.networking.k8s.io/v1", "HTTPRoute", status=status))
    assert (found.state, found.says) == (state, says)


def test_a_gateway_that_does_not_answer_a_route_is_named() -> None:
    spec: JsonObject = {"parentRefs": [{"name": "public"}, {"name": "other", "namespace": "infra"}]}
    answers = _parent(condition("Accepted", "True"), condition("ResolvedRefs", "True"))
    found = health(tree("gateway.networking.k8s.io/v1", "HTTPRoute", spec=spec, status=answers))
    assert (found.state, found.says) == (
        "in progress",
        "Gateway infra/other has not answered yet: does it exist?",
    )


def _listener(*found: Json) -> JsonObject:
    accepted = [condition("Accepted", "True"), condition("Programmed", "False", message="no addresses")]
    return {"conditions": accepted, "listeners": [{"name": "host-0", "conditions": list(found)}]}


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (
            {"conditions": [condition("Accepted", "Unknown", reason="Pending", message="Waiting for controller")]},
            "no controller has answered yet: is there a GatewayClass envoy?",
        ),
        (_listener(condition("Accepted", "True")), "no addresses"),
        (
            _listener(condition("ResolvedRefs", "False", message="Secret shop/tls does not exist.")),
            "listener host-0: Secret shop/tls does not exist.",
        ),
        (
            {"conditions": [{"type": "Accepted", "status": "True", "observedGeneration": 1}]},
            "no controller has answered yet: is there a GatewayClass envoy?",
        ),
    ],
)
def test_a_gateway_says_what_is_missing(status: JsonObject, says: str) -> None:
    spec: JsonObject = {"gatewayClassName": "envoy"}
    found = health(tree("gateway.networking.k8s.io/v1", "Gateway", spec=spec, status=status))
    assert (found.state, found.says) == ("in progress", says)


def test_a_programmed_gateway_is_healthy() -> None:
    status: JsonObject = {"conditions": [condition("Accepted", "True"), condition("Programmed", "True")]}
    assert health(tree("gateway.networking.k8s.io/v1", "Gateway", status=status)).state == "current"
