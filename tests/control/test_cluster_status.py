"""The status of a cluster's services, from what its controller has declared and observed."""

from dataclasses import replace

from bateau.control.cluster_status import Facts, Namespace, cluster_release, cluster_status, shown_key
from bateau.control.declared import Declared
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.status import ServiceState, Status
from bateau.domain.workload import Command, ServiceKey, Workload
from bateau.kit.position import Position
from bateau.ports.runtime import Observed

FACTS = Facts(
    version="1",
    cluster="berlin",
    source="the documents of 1 namespaces",
    environment=None,
    endpoint="http://bateau-gateway.bateau-system",
    gateways=2,
    pid=7,
    since=0.0,
)


def workload(name: str, *uses: str, replicas: int = 1) -> Workload:
    return Workload(
        key=ServiceKey(f"app/{name}"),
        runs=Command(words=("true",)),
        position=Position("app.yaml", 1, 1),
        uses=tuple(map(ServiceKey, uses)),
        replicas=replicas,
    )


def pod(service: str, state: ReplicaState = ReplicaState.READY, reason: str | None = None) -> Replica:
    return Replica(
        id=f"shop/{service}-1",
        service=ServiceKey(service),
        revision="",
        state=state,
        pid=None,
        restarts=0,
        reason=reason,
    )


def namespace(*services: Workload, seen: Observed | None = None, **more: object) -> Namespace:
    declared = Declared(release=Release(services=services))
    found = Namespace(name="shop", declared=declared, seen=seen or Observed())
    return replace(found, **more)  # type: ignore[arg-type]


def states(status: Status) -> dict[str, ServiceState]:
    return {each.service: each.state for each in status.services}


def test_services_of_namespaces_have_their_names_and_so_have_those_that_they_use() -> None:
    one = namespace(workload("web", "app/api"), workload("api"))
    other = replace(one, name="lab")
    assert [each.key for each in cluster_release([one, other]).services] == [
        "app/lab.api",
        "app/lab.web",
        "app/shop.api",
        "app/shop.web",
    ]
    web = next(each for each in cluster_release([one]).services if each.key == "app/shop.web")
    assert web.uses == ("app/shop.api",)
    assert shown_key("", "app/web") == "app/web"


def test_a_service_is_ready_with_its_pods() -> None:
    seen = Observed(replicas=(pod("app/web"),))
    status = cluster_status([namespace(workload("web"), seen=seen)], FACTS)
    (web,) = status.services
    assert (web.state, web.reason, web.replicas_ready, web.replicas_wanted) == (ServiceState.READY, None, 1, 1)
    assert web.replicas[0].service == "app/shop.web"
    assert status.settled
    assert (status.gateway.state, status.gateway.replicas_ready) == (ServiceState.READY, 2)


def test_a_service_that_waits_says_for_what() -> None:
    waiting = pod("app/web", ReplicaState.BACKOFF, "exited with code 3")
    seen = Observed(replicas=(waiting,), moving=frozenset({"app/web"}))
    status = cluster_status([namespace(workload("web", replicas=2), seen=seen)], FACTS)
    (web,) = status.services
    assert web.state is ServiceState.STARTING
    assert "exited with code 3" in (web.reason or "")
    assert (web.replicas_ready, web.replicas_wanted) == (0, 2)
    assert not status.settled


def test_what_cannot_be_read_is_unknown() -> None:
    service = workload("web")
    not_seen = namespace(service, seen=Observed(unknown="the API server does not answer"))
    not_read = namespace(service, trouble="no such commit")
    for one, says in ((not_seen, "does not answer"), (not_read, "no such commit")):
        status = cluster_status([one], FACTS)
        assert states(status) == {"app/shop.web": ServiceState.UNKNOWN}
        assert says in (status.services[0].reason or "")
        assert not status.settled


def test_a_document_that_is_refused_is_a_problem() -> None:
    declared = Declared(refused={"app/web": "web.yaml:3:1: unknown field"})
    status = cluster_status([Namespace(name="shop", declared=declared, seen=Observed())], FACTS)
    assert states(status) == {"app/shop.web": ServiceState.FAILED}
    assert [each.says for each in status.problems] == ["namespace shop: app/web: web.yaml:3:1: unknown field"]


def test_without_gateways_the_reason_is_told() -> None:
    assert cluster_status([], replace(FACTS, gateways=0)).gateway.state is ServiceState.STARTING
    assert cluster_status([], replace(FACTS, gateways=None)).gateway.reason == "this controller has no gateways"
