"""Models that answer for others are marked, so that their planes prepare the requests for them."""

from bateau.control.endpoints import endpoints
from bateau.domain.endpoint import Traffic
from bateau.domain.release import Release
from bateau.domain.workload import External, Routing, ServiceKey, Workload
from bateau.kit.position import Position


def test_a_model_that_another_one_names_is_marked() -> None:
    routing = {"a": Routing(fallback="b"), "b": Routing(), "c": Routing(split=(("d", 5),)), "d": Routing()}
    services = tuple(
        Workload(
            key=ServiceKey.of("model", name),
            runs=External(url="https://api.example.org/v1"),
            position=Position("x.yaml", 1, 1),
            routing=each,
        )
        for name, each in routing.items()
    )
    traffic, failed = endpoints(
        Release(services=services),
        [],
        app_ports={},
        api_keys={},
        files={},
        before=Traffic(),
        proxies=(),
    )
    assert failed == {}
    assert {each.name: each.answers_for_others for each in traffic.backends} == {
        "a": False,
        "b": True,
        "c": False,
        "d": True,
    }
    assert [each.routing for each in traffic.backends] == list(routing.values())
