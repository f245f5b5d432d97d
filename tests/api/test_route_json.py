"""The path of a request for a model, as `bateau explain NAME --route` prints it."""

from typing import cast

import pytest

from bateau.api.encoding import status_tree
from bateau.api.route_json import route_json, route_lines
from bateau.api.trees import StatusTree
from bateau.domain.balanced import balanced
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.status import AffinityStatus, ServiceState, ServiceStatus, Status
from bateau.domain.used import Used
from bateau.domain.workload import External, ModelServer, Port, Routing, ServiceKey, Workload
from bateau.kit.position import Position

KEY = ServiceKey.of("model", "chat")


def workload(routing: Routing, **more: object) -> Workload:
    about = {"runs": ModelServer(source="smollm2"), "ports": {"http": Port(protocol="openai")}, **more}
    return Workload(key=KEY, position=Position("x.yaml", 1, 1), routing=routing, **about)  # pyright: ignore[reportArgumentType]


def running(engine: str = "llama.cpp", affinity: AffinityStatus | None = None) -> StatusTree:
    replicas = tuple(
        Replica(
            id=f"model.chat.{number}", service=KEY, revision="r", pid=None, state=state, since=0.0, draining=draining
        )
        for number, (state, draining) in enumerate(
            [(ReplicaState.READY, False), (ReplicaState.UNREADY, False), (ReplicaState.READY, True)]
        )
    )
    service = ServiceStatus(
        service=KEY, state=ServiceState.READY, reason=None, replicas_wanted=2, replicas_ready=1, engine=engine,
        source="https://api.example.org/v1", replicas=replicas, affinity=affinity,
    )  # fmt: skip
    return status_tree(
        Status(
            version="1", instance="default", pid=1, directory="/x", follows="directory", environment=None,
            listen="http://127.0.0.1:8080", gateway=service, services=(service,), problems=(), foreign=0, since=0.0,
            settled=True, accepted=True, written=None, rolled_out=True, specs_rejected=False,
        )
    )  # fmt: skip


def used(balanced_by: str | None, first_byte_ms: int | None = 100, cached: int | None = 5, **more: object) -> Used:
    about = {"at": 1.0, "id": "r", "path": "/v1/completions", "status": 200, "model": "chat", "tokens_in": 10, **more}
    about |= {"balanced_by": balanced_by, "first_byte_ms": first_byte_ms, "tokens_cached": cached}
    return Used(**about)  # pyright: ignore[reportArgumentType]


def test_each_step_has_a_line() -> None:
    routing = Routing(fallback="big", split=(("next", 10),), timeout_s=60, affinity="prefix")
    status = running(affinity=AffinityStatus(on=False, says="it has turned itself off"))
    requests = [used("prefix", 100), used("prefix", 400, 9), used("requests", 50, None)]
    found = route_lines(workload(routing, served_names=("gpt-4o",)), status, balanced(requests, "chat"))
    assert found == [
        ("request", 'http://127.0.0.1:8080/v1, with "model": "chat" or "gpt-4o"'),
        ("timeout", "60 s for the whole answer"),
        ("split", "10 % to next"),
        ("replicas", "model.chat.0, model.chat.1 (Unready), model.chat.2 (draining)"),
        ("affinity", "off: it has turned itself off"),
        ("last hour", "first byte after 200 ms, 70% of prompts cached, in 2 requests by conversation"),
        (
            "last hour",
            "first byte after 50 ms, unknown of prompts cached, in 1 request to compare, by fewest requests",
        ),
        ("fallback", "big, if these cannot answer"),
    ]


def test_what_only_a_running_instance_knows_is_unknown_without_one() -> None:
    found = dict(route_lines(workload(Routing()), None, {}))
    assert found["replicas"] == "unknown: the model does not run"
    tree = route_json(workload(Routing()), None, {})
    assert (tree["endpoint"], tree["replicas"], tree["affinity"]) == (None, None, None)


def test_an_external_model_has_a_provider_and_no_replicas() -> None:
    model = workload(Routing(), runs=External(url="https://api.example.org/v1"))
    assert dict(route_lines(model, running("external"), {}))["provider"] == "https://api.example.org/v1"


def test_a_control_plane_of_an_earlier_version_says_nothing_of_affinity() -> None:
    status = running()
    del cast("dict[str, object]", status["services"][0])["affinity"]
    assert dict(route_lines(workload(Routing()), status, {}))["affinity"] == "unknown"
    assert route_json(workload(Routing()), status, {})["affinity"] is None


@pytest.mark.parametrize(
    "wrong", [used(None), used("prefix", None), used("prefix", status=503), used("prefix", model="other"), used("x")]
)
def test_what_is_not_compared_is_in_no_sum(wrong: Used) -> None:
    assert [each.requests for each in balanced([wrong], "chat").values()] == [0, 0]
    assert {each.first_byte_ms for each in balanced([wrong], "chat").values()} == {None}
