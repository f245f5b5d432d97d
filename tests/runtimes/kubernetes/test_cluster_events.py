"""The events of a cluster, as events of services."""

from aiohttp import web

from bateau.domain.event import Event
from bateau.domain.replica import Replica, ReplicaState
from bateau.kit.json_value import JsonObject
from bateau.ports.runtime import ObjectState, Observed
from bateau.runtimes.kubernetes.cluster_events import cluster_events
from bateau.runtimes.kubernetes.pods import as_replica, pod
from runtimes.kubernetes.servant import served

SEEN = Observed(
    objects=(
        ObjectState(key=("apps", "Deployment", "shop", "web"), service="app/shop", phase="current", says=""),
        ObjectState(key=("apps", "Deployment", "shop", "web-2"), service="app/web2", phase="current", says=""),
        ObjectState(key=("", "Namespace", "", "shop"), service=None, phase="current", says=""),
    ),
    replicas=(Replica(id="shop/odd", service="app/shop", revision="", state=ReplicaState.READY, pid=None),),
)


def about(kind: str, name: str, reason: str = "Killing", **more: object) -> dict[str, object]:
    version = "bateau.dev/v1alpha1" if kind == "Model" else "v1"
    return {
        "involvedObject": {"apiVersion": version, "kind": kind, "namespace": "shop", "name": name},
        "reason": reason,
        "message": f"{reason} {name}",
        "type": "Normal",
        "lastTimestamp": "1970-01-01T00:01:00Z",
        "source": {"component": "kubelet"},
        **more,
    }


async def found(*items: dict[str, object]) -> list[Event]:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.path == "/api/v1/namespaces/shop/events"
        return web.json_response({"items": items, "metadata": {}})

    async with served(answer) as (api, _):
        return await cluster_events(api, SEEN, {"shop"})


async def test_an_event_belongs_to_the_service_whose_object_has_created_its_own() -> None:
    events = await found(
        about("Deployment", "web"),
        about("ReplicaSet", "web-7d4f"),
        about("Pod", "web-7d4f-xk2p9"),
        about("Pod", "web-2-7d4f-xk2p9"),
        about("Pod", "odd"),
        about("Model", "chat"),
        about("Pod", "website-7d4f-xk2p9"),
        about("Pod", "other"),
    )
    assert [(event.subject, event.fields["service"]) for event in events] == [
        ("Deployment web", "app/shop"),
        ("ReplicaSet web-7d4f", "app/shop"),
        ("Pod web-7d4f-xk2p9", "app/shop"),
        ("Pod web-2-7d4f-xk2p9", "app/web2"),
        ("Pod odd", "app/shop"),
        ("Model chat", "model/chat"),
    ]


async def test_an_event_has_its_time_its_source_and_how_often_it_came() -> None:
    series = about("Pod", "odd", type="Warning", count=7, series={"lastObservedTime": "1970-01-01T00:02:00.5Z"})
    new = about("Pod", "odd", lastTimestamp=None, eventTime="1970-01-01T00:03:00Z", reportingComponent="scheduler")
    first, second, third = await found(series, new, {"involvedObject": series["involvedObject"]})
    assert first == Event(
        when_s=120.5,
        subject="Pod odd",
        reason="Killing",
        says="Killing odd",
        warning=True,
        fields={"service": "app/shop", "source": "kubelet", "count": "7"},
    )
    assert (second.when_s, second.fields["source"]) == (180.0, "scheduler")
    assert (third.when_s, third.fields) == (0.0, {"service": "app/shop"})


def test_a_pod_says_how_its_container_ended_last() -> None:
    def of(**status: object) -> JsonObject:
        return {"metadata": {"name": "web-1", "namespace": "shop"}, "status": {"containerStatuses": [status]}}  # type: ignore[dict-item]

    killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "1970-01-01T00:01:00Z"}}
    end = as_replica("app/shop", pod(of(name="web", lastState=killed)), revision="").last_end
    assert end is not None
    assert (end.when_s, end.says) == (60.0, "web ran out of memory, and was killed")
    well = {"terminated": {"reason": "Completed", "exitCode": 0, "finishedAt": "1970-01-01T00:01:00Z"}}
    assert pod(of(name="web", lastState=well)).last_end is None
    assert pod(of(name="web")).last_end is None
