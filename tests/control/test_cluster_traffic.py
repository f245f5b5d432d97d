"""The models of several namespaces as one traffic."""

from collections.abc import Iterator

import pytest

from bateau.control import cluster_traffic as module
from bateau.control import endpoints as endpoint_module
from bateau.control.cluster_traffic import Space
from bateau.control.declared import declare_each
from bateau.domain.endpoint import Backend, Traffic
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.workload import Limits, Routing, Workload
from bateau.kit.json_value import Json
from control.test_declared import EXTERNAL, MODEL, RULES, texts


def pod(name: str, key: str = "model/chat", state: ReplicaState = ReplicaState.READY) -> Replica:
    return Replica(
        id=f"shop/{name}",
        service=key,
        revision="1",
        state=state,
        pid=None,
        addresses={"http": f"10.0.0.{len(name)}:8080"},
        restarts=0,
        since=0.0,
    )


def space(namespace: str, since: str, *replicas: Replica, kept: str = "", **specs: dict[str, Json]) -> Space:
    release = declare_each(texts(**specs), RULES, namespace=namespace).release
    keys = [each.key for each in release.services]
    return Space(
        namespace=namespace,
        release=release,
        replicas=replicas,
        kept=[kept] if kept else [],
        since=dict.fromkeys([*keys, kept], since),
    )


def cluster_traffic(spaces: list[Space]) -> Traffic:
    """Return the traffic of spaces without bugs."""
    made, failed = module.cluster_traffic(spaces, Traffic())
    assert failed == {}
    return made


def names(traffic: Traffic) -> dict[str, str]:
    """Return the service of each served name."""
    return {name: each.service for each in traffic.backends for name in (each.name, *each.aliases)}


def test_a_model_has_a_name_with_its_namespace_and_the_oldest_one_the_short_name():
    found = cluster_traffic(
        [
            space("a", "2026-02", pod("one"), model_chat=MODEL),
            space("b", "2026-01", pod("other"), model_chat=MODEL, model_embed=MODEL),
        ]
    )
    assert names(found) == {
        "a/chat": "model/chat.a",
        "b/chat": "model/chat.b",
        "chat": "model/chat.b",
        "b/embed": "model/embed.b",
        "embed": "model/embed.b",
    }
    long = next(each for each in found.backends if each.name == "a/chat")
    assert long.upstream_model == "chat"
    assert [each.address for each in long.endpoints] == ["10.0.0.3:8080"]


def test_models_of_a_repository_are_served_by_name_only():
    assert names(cluster_traffic([space("", "", pod("one"), model_chat=MODEL)])) == {"chat": "model/chat"}


def test_apps_are_reached_by_their_services_and_not_by_the_gateway():
    web: dict[str, Json] = {"image": "web:1", "ports": {"http": {"port": 80}}}
    assert cluster_traffic([space("a", "", pod("one", "app/web"), app_web=web)]).backends == ()


def test_pods_that_are_not_ready_get_no_new_requests_and_pods_that_start_or_stop_are_left_out():
    states = (ReplicaState.READY, ReplicaState.UNREADY, ReplicaState.STARTING, ReplicaState.STOPPING)
    replicas = [pod("x" * (index + 1), state=state) for index, state in enumerate(states)]
    backend = cluster_traffic([space("a", "", *replicas, model_chat=MODEL)]).backends[0]
    assert [(each.replica, each.draining) for each in backend.endpoints] == [("shop/x", False), ("shop/xx", True)]


def test_a_model_whose_document_has_an_error_keeps_its_endpoints():
    found = cluster_traffic([Space(namespace="a", release=Release(), replicas=(pod("one"),), kept=["model/chat"])])
    assert names(found) == {"a/chat": "model/chat.a", "chat": "model/chat.a"}
    without = cluster_traffic([Space(namespace="a", release=Release(), replicas=(), kept=["model/chat"])])
    assert without.backends == ()


def test_other_names_belong_to_the_oldest_model_too_unless_a_document_has_them():
    named: dict[str, Json] = {**MODEL, "servedNames": ["gpt", "embed"]}
    found = cluster_traffic(
        [
            space("a", "3", pod("one"), model_chat=named),
            space("b", "2", pod("other"), model_other=named),
            space("c", "4", pod("third"), model_embed=MODEL),
        ]
    )
    assert names(found)["gpt"] == "model/other.b"
    assert names(found)["embed"] == "model/embed.c"
    assert {each.name: each.aliases for each in found.backends} == {
        "a/chat": ("chat",),
        "b/other": ("other", "gpt"),
        "c/embed": ("embed",),
    }


def test_limits_and_other_models_stay_in_the_namespace():
    limited: dict[str, Json] = {
        **MODEL,
        "limits": {"requestsPerMinute": 1},
        "fallback": "embed",
        "split": {"embed": 10},
        "timeout": "1s",
    }
    found = cluster_traffic(
        [
            space("a", "2", pod("one"), model_chat=limited, model_embed=MODEL),
            space("b", "1", pod("two"), model_embed=MODEL),
        ]
    )
    chat, embed, _ = found.backends
    assert (chat.name, chat.aliases, chat.limits) == ("a/chat", ("chat",), Limits(requests_per_minute=1))
    assert chat.routing == Routing(fallback="a/embed", split=(("a/embed", 10),), timeout_s=1.0, affinity="prefix")
    assert (embed.name, embed.answers_for_others, embed.upstream_model) == ("a/embed", True, "embed")
    followed = cluster_traffic([space("", "", pod("one"), model_chat=limited, model_embed=MODEL)]).backends[0]
    assert (followed.name, followed.routing.fallback, followed.routing.split) == ("chat", "embed", (("embed", 10),))


def test_an_external_model_is_served_unless_it_needs_a_key():
    keyed: dict[str, Json] = {**EXTERNAL, "external": {"apiKeyEnv": "KEY"}}
    found = cluster_traffic([space("a", "", model_far=EXTERNAL, model_paid=keyed)])
    assert names(found) == {"a/far": "model/far.a", "far": "model/far.a"}


def test_a_bug_with_one_model_leaves_its_routes_and_changes_no_other(monkeypatch: pytest.MonkeyPatch):
    first = [space("a", "1", pod("one"), model_chat=MODEL), space("b", "2", pod("other"), model_embed=MODEL)]
    before = cluster_traffic(first)

    def planted(service: Workload, *_: object) -> Iterator[Backend]:
        if service.name == "chat":
            raise RuntimeError("planted")
        yield Backend(service=service.key, name="embed", protocol="openai")

    monkeypatch.setattr(endpoint_module, "_backends", planted)
    after, failed = module.cluster_traffic(first, before)
    assert list(failed) == ["model/chat.a"]
    assert names(after) == names(before)
    chat = [each for each in before.backends if each.service == "model/chat.a"]
    assert [each for each in after.backends if each.service == "model/chat.a"] == chat
