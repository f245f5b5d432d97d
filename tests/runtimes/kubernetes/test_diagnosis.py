"""What pods and the cluster say about a failure: the last log lines, and events that add something."""

from aiohttp import web

from bateau.domain.replica import Replica, ReplicaState
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.diagnosis import reports
from runtimes.kubernetes.servant import Answer, served, status

POD = Replica(
    id="shop/web-1", service="app/shop", revision="", state=ReplicaState.BACKOFF, pid=None, restarts=2, reason="died"
)
OTHER = Replica(id="shop/web-2", service="app/shop", revision="", state=ReplicaState.STARTING, pid=None)


def _event(reason: str, message: str, at: str, kind: str = "Warning") -> dict[str, str]:
    return {"type": kind, "reason": reason, "message": message, "lastTimestamp": at}


def _cluster(*events: dict[str, str], log: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/log"):
            # The container that has just started says nothing yet; the one before has said why it died.
            return web.Response(text=log if request.query.get("previous") == "true" else "")
        assert request.query["fieldSelector"] == "involvedObject.name=web-1"
        return web.json_response({"items": events})

    return answer


async def test_the_pod_in_most_trouble_is_quoted() -> None:
    events = (
        _event("Unhealthy", "Readiness probe failed: HTTP 500", "2026-11-29T02:00:00Z"),
        _event("FailedMount", 'secret "a" not found', "2026-11-29T02:01:00Z"),
        _event("BackOff", "Back-off restarting failed container", "2026-11-29T02:02:00Z"),
        _event("Pulled", "pulled", "2026-11-29T02:03:00Z", "Normal"),
    )
    async with served(_cluster(*events, log="a\nb\nc\nd\ne\nno such database\n")) as (api, _):
        found = await reports(api, Observed(replicas=(OTHER, POD)), ["app/shop", "app/none"])
    assert found == {
        "app/shop": [
            "log    b",
            "log    c",
            "log    d",
            "log    e",
            "log    no such database",
            'event  FailedMount: secret "a" not found',
            "event  Unhealthy: Readiness probe failed: HTTP 500",
        ]
    }


async def test_a_diagnosis_without_the_rights_for_it_is_empty() -> None:
    async with served(status(403, "Forbidden", "you may not")) as (api, _):
        assert await reports(api, Observed(replicas=(POD,)), ["app/shop"]) == {}
