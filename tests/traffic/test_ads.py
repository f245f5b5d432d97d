"""The ADS server against a client that says what the test wants: the cases that go-control-plane tests, and ours."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest_asyncio

from bateau.traffic.envoy.ads import AdsServer
from bateau.traffic.envoy.doors import UnixDoor
from bateau.traffic.envoy.resources import CLUSTER, ENDPOINTS, EXTENSION, LISTENER, ROUTES, Resource, Resources
from traffic.gateway import eventually
from traffic.xds_client import XdsClient, resource, sent


def resources(**types: dict[str, Resource]) -> Resources:
    """Return resources with a type left out where a test does not speak of it."""
    names = {"clusters": CLUSTER, "endpoints": ENDPOINTS, "listeners": LISTENER, "routes": ROUTES, "filters": EXTENSION}
    return {type_url: types.get(name, {}) for name, type_url in names.items()}


ONE = resources(clusters={"a": resource("a1")}, endpoints={"a": resource("ea1")})


class Server(AdsServer):
    """A server on a socket of its own, whose clients are closed with it."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "xds.sock"
        super().__init__(UnixDoor(self.socket), on_change=lambda: None)
        self.clients: list[XdsClient] = []

    def client(self, node: str = "gateway.envoy.0") -> XdsClient:
        made = XdsClient(self.socket, node)
        self.clients.append(made)
        return made

    def is_settled(self, node: str = "gateway.envoy.0") -> bool:
        return [s.settled for s in self.subscribers if s.node == node] == [True]

    def messages(self) -> dict[str, str]:
        return {r.service: message for s in self.subscribers for r, message in s.rejections()}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    made = Server(folder)
    made.update(ONE)
    await made.open()
    yield made
    for client in made.clients:
        await client.close()
    await made.close()
    shutil.rmtree(folder)


async def test_a_wildcard_gets_everything_once(server: Server) -> None:
    client = server.client()
    await client.subscribe(CLUSTER)
    response = await client.next()
    assert (sent(response), list(response.removed_resources)) == ({"a": "a1"}, [])
    await client.acknowledge(response)
    await client.silence()


async def test_an_explicit_wildcard_is_one_and_ends_when_it_is_unsubscribed(server: Server) -> None:
    client = server.client()
    await client.subscribe(CLUSTER, "*")
    await client.acknowledge(await client.next())
    await client.subscribe(CLUSTER, "b", drop=["*"])
    response = await client.next()
    assert (sent(response), list(response.removed_resources)) == ({}, ["b"])
    await client.acknowledge(response)
    server.update(resources(clusters={"a": resource("a2"), "b": resource("b1")}))
    assert sent(await client.next()) == {"b": "b1"}


async def test_an_empty_wildcard_is_answered_as_proxies_wait_for_it(server: Server) -> None:
    client = server.client()
    await client.subscribe(LISTENER)
    assert sent(await client.next()) == {}


async def test_only_what_changed_is_sent(server: Server) -> None:
    client = server.client()
    await client.follow(CLUSTER)
    server.update(resources(clusters={"a": resource("a1"), "b": resource("b1")}))
    response = await client.next()
    assert (sent(response), list(response.removed_resources)) == ({"b": "b1"}, [])


async def test_what_is_gone_is_removed_and_counts_only_when_that_is_acknowledged(server: Server) -> None:
    client = server.client()
    await client.follow(CLUSTER, LISTENER)
    await client.subscribe(ENDPOINTS, "a")
    await client.follow()
    await _until(server.is_settled)
    server.update(resources())
    response = await client.next()
    assert (response.type_url, list(response.removed_resources)) == (CLUSTER, ["a"])
    assert not server.is_settled()
    await client.acknowledge(response)
    await client.follow()
    await _until(server.is_settled)
    assert client.has == {CLUSTER: {}, ENDPOINTS: {}, LISTENER: {}}


async def test_a_proxy_that_comes_back_says_what_it_has_and_gets_the_difference(server: Server) -> None:
    server.update(resources(clusters={"a": resource("a2"), "b": resource("b1"), "c": resource("c1")}))
    client = server.client()
    await client.subscribe(CLUSTER, versions={"a": "a1", "b": "b1", "gone": "g1"})
    response = await client.next()
    assert sent(response) == {"a": "a2", "c": "c1"}
    await client.acknowledge(response)
    await client.silence()  # its routes, which it has not spoken of yet, may name what is gone
    await client.subscribe(LISTENER)
    await client.acknowledge(await client.next())
    response = await client.next()
    assert list(response.removed_resources) == ["gone"]


async def test_a_proxy_that_comes_back_with_everything_gets_nothing(server: Server) -> None:
    client = server.client()
    await client.subscribe(CLUSTER, versions={"a": "a1"})
    response = await client.next()
    assert (sent(response), list(response.removed_resources)) == ({}, [])


async def test_a_name_that_does_not_exist_is_answered_and_sent_when_it_comes(server: Server) -> None:
    client = server.client()
    await client.subscribe(ENDPOINTS, "later")
    response = await client.next()
    assert (sent(response), list(response.removed_resources)) == ({}, ["later"])
    await client.acknowledge(response)
    server.update(resources(endpoints={"later": resource("e1"), "other": resource("e2")}))
    assert sent(await client.next()) == {"later": "e1"}


async def test_an_unsubscribed_name_is_not_sent(server: Server) -> None:
    client = server.client()
    await client.subscribe(ENDPOINTS, "a")
    await client.acknowledge(await client.next())
    await client.subscribe(ENDPOINTS, drop=["a"])
    await client.silence()
    server.update(resources(endpoints={"a": resource("ea2")}))
    await client.silence()


async def test_a_name_that_is_asked_for_again_is_sent_again(server: Server) -> None:
    client = server.client()
    await client.subscribe(ENDPOINTS, "a")
    await client.acknowledge(await client.next())
    await client.subscribe(ENDPOINTS, "a")
    assert sent(await client.next()) == {"a": "ea1"}


async def test_a_rejected_resource_is_reported_and_its_next_version_is_sent(server: Server) -> None:
    client = server.client()
    await client.subscribe(CLUSTER)
    await client.reject(await client.next(), "a: no such field")
    await _until(lambda: server.messages() == {"model/chat": "a: no such field"})
    await client.silence()
    server.update(resources(clusters={"a": resource("a2")}))
    assert server.messages() == {}
    response = await client.next()
    assert sent(response) == {"a": "a2"}
    await client.acknowledge(response)
    await client.silence()


async def test_a_rejected_resource_that_is_gone_is_forgotten(server: Server) -> None:
    client = server.client()
    await client.follow(CLUSTER, LISTENER)
    server.update(resources(listeners={"app/shop/http": resource("l1", "app/shop")}))
    await client.reject(await client.next(), "Error adding listener 'app/shop/http': cannot bind")
    await _until(lambda: "app/shop" in server.messages())
    server.update(resources())
    assert server.messages() == {}
    await client.follow()
    await _until(server.is_settled)


async def test_a_rejected_resource_is_sent_again_on_a_retry_and_accepted_then(server: Server) -> None:
    client = server.client()
    await client.subscribe(CLUSTER)
    await client.reject(await client.next(), "not now")
    await _until(server.messages)
    server.retry()
    assert server.messages() == {"model/chat": "not now"}, "a retry alone does not take a rejection back"
    await client.acknowledge(await client.next())
    await _until(lambda: not server.messages())


async def test_of_several_resources_only_the_one_at_fault_is_held_back(server: Server) -> None:
    client = server.client()
    server.update(
        resources(clusters={name: resource(f"{name}1", name) for name in ("model/chat", "model/chat-2", "c")})
    )
    await client.subscribe(CLUSTER)
    await client.reject(await client.next(), "Error adding cluster model/chat-2: no")
    again = await client.next()
    assert sent(again) == {"model/chat": "model/chat1", "c": "c1"}
    await client.acknowledge(again)
    await _until(lambda: list(server.messages()) == ["model/chat-2"])
    await client.silence()


async def test_where_a_rejection_names_nobody_each_is_tried_alone(server: Server) -> None:
    client = server.client()
    server.update(resources(clusters={name: resource(f"{name}1", name) for name in ("bad", "good")}))
    await client.subscribe(CLUSTER)
    await client.reject(await client.next(), "internal error")
    alone = [await client.next(), await client.next()]
    assert sorted(name for each in alone for name in sent(each)) == ["bad", "good"]
    for each in alone:
        await (client.reject(each, "internal error") if "bad" in sent(each) else client.acknowledge(each))
    await _until(lambda: list(server.messages()) == ["bad"])
    assert client.has[CLUSTER] == {"good": "good1"}
    await client.silence()


async def test_a_rejected_cluster_keeps_its_endpoints_from_being_waited_for(server: Server) -> None:
    client = server.client()
    await client.subscribe(CLUSTER)
    await client.reject(await client.next(), "no")
    await client.follow(LISTENER)
    await _until(server.is_settled)


async def test_routes_come_after_the_clusters_that_they_name_and_clusters_go_after_them(server: Server) -> None:
    client = server.client()
    server.update(resources(clusters={"a": resource("a1")}, routes={"front": resource("r1")}))
    await client.follow(CLUSTER, LISTENER)
    await client.subscribe(ROUTES, "front")
    await client.follow()
    server.update(resources(clusters={"b": resource("b1")}, routes={"front": resource("r2")}))
    added = await client.next()
    assert (added.type_url, sent(added), list(added.removed_resources)) == (CLUSTER, {"b": "b1"}, [])
    await client.silence()
    await client.acknowledge(added)
    routed = await client.next()
    assert (routed.type_url, sent(routed)) == (ROUTES, {"front": "r2"})
    await client.silence()
    await client.acknowledge(routed)
    removed = await client.next()
    assert (removed.type_url, list(removed.removed_resources)) == (CLUSTER, ["a"])


async def test_a_replaced_cluster_gets_its_endpoints_again(server: Server) -> None:
    client = server.client()
    await client.follow(CLUSTER)
    await client.subscribe(ENDPOINTS, "a")
    await client.follow()
    server.update(resources(clusters={"a": resource("a2")}, endpoints={"a": resource("ea1")}))
    assert sent(await client.next()) == {"a": "a2"}
    renewed = await client.next()
    assert (renewed.type_url, sent(renewed)) == (ENDPOINTS, {"a": "ea1"})


async def test_proxies_at_different_states_get_each_what_it_lacks(server: Server) -> None:
    old, new = server.client("gateway.envoy.0"), server.client("gateway.envoy.1")
    await old.follow(CLUSTER, LISTENER)
    await old.subscribe(ENDPOINTS, "a")
    await old.follow()
    await _until(lambda: server.is_settled("gateway.envoy.0"))
    await new.subscribe(CLUSTER)
    first = await new.next()
    server.update(resources(clusters={"a": resource("a1"), "b": resource("b1")}))
    assert sent(await old.next()) == {"b": "b1"}
    await new.acknowledge(first)
    assert sent(await new.next()) == {"b": "b1"}


async def test_a_proxy_that_never_answers_holds_up_no_other_and_is_sent_no_more(server: Server) -> None:
    silent, other = server.client("gateway.envoy.0"), server.client("gateway.envoy.1")
    await silent.subscribe(CLUSTER)
    assert sent(await silent.next()) == {"a": "a1"}
    await other.follow(CLUSTER, LISTENER)
    for number in range(2, 30):
        server.update(resources(clusters={"a": resource(f"a{number}")}))
    await other.follow()
    await _until(lambda: server.is_settled("gateway.envoy.1"))
    assert not server.is_settled("gateway.envoy.0")
    await silent.silence()


async def test_a_draining_proxy_has_no_listeners_while_the_others_keep_theirs(server: Server) -> None:
    old, new = server.client("gateway.envoy.0"), server.client("gateway.envoy.1")
    listening = resources(listeners={"front": resource("l1")})
    server.update(listening)
    for client in (old, new):
        await client.follow(CLUSTER, LISTENER)
    server.update(listening, draining={"gateway.envoy.0"})
    await old.follow()
    await new.silence()
    assert (old.has[LISTENER], new.has[LISTENER]) == ({}, {"front": "l1"})
    await _until(lambda: server.is_settled("gateway.envoy.0"))
    again = server.client("gateway.envoy.0")  # as after a restart of the control plane
    await again.follow(CLUSTER, LISTENER)
    assert again.has[LISTENER] == {}


async def test_a_proxy_that_goes_is_forgotten(server: Server) -> None:
    client = server.client()
    await client.follow(CLUSTER)
    await _until(lambda: len(list(server.subscribers)) == 1)
    await client.close()
    await _until(lambda: not list(server.subscribers))


async def _until(condition: Callable[[], object]) -> None:
    async def true() -> object:
        await asyncio.sleep(0)
        return condition()

    await eventually(true, within_s=5.0)
