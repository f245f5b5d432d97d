"""Steps happen in the right order: the gateway is informed before a replica starts or stops, and drains are awaited."""

import asyncio

import pytest

from bateau.control import loop
from bateau.domain.replica import ReplicaState
from bateau.domain.status import ServiceState
from control.world import World, app, model, world


async def test_the_plane_is_told_before_the_gateway_and_the_first_replica_start() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.backend().endpoints)
        assert w.journal[:3] == ["publish []", "start gateway.envoy.0", "start model.chat.0"]
        assert w.journal[3] == "publish [model.chat.0]"


async def test_a_replica_that_starts_gets_no_requests_yet() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.backend().endpoints)
        w.keeper.hold = True
        w.texts.write("chat", model(replicas=2))
        await w.until(lambda: len(w.replicas()) == 2)
        await w.turns()
        assert [each.replica for each in w.backend().endpoints] == ["model.chat.0"]


async def test_a_replica_that_is_not_ready_gets_no_requests() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.backend().endpoints)
        w.keeper.crash("model.chat.0", "exited with code 1")
        await w.until(lambda: not w.backend().endpoints)
        found = w.service()
        assert (found.state, found.reason) == (ServiceState.FAILED, "exited with code 1")
        w.keeper.restart("model.chat.0")
        await w.until(lambda: w.backend().endpoints)
        assert "stop model.chat.0" not in w.journal


async def test_a_replica_whose_probes_fail_gets_nothing_new_but_is_still_counted() -> None:
    async with world(chat=model(replicas=2)) as w:
        await w.until(lambda: len(w.backend().endpoints) == 2)
        w.keeper.move("model.chat.0", ReplicaState.UNREADY, "no answer in 5 s")
        await w.until(lambda: w.backend().endpoints[0].draining)
        assert not w.backend().endpoints[1].draining
        w.keeper.become_ready("model.chat.0")
        await w.until(lambda: not w.backend().endpoints[0].draining)


async def test_a_replica_that_leaves_is_marked_at_the_plane_first_and_stopped_with_nothing_in_flight() -> None:
    async with world(chat=model(replicas=2)) as w:
        await w.until(lambda: len(w.backend().endpoints) == 2)
        w.plane.in_flight = {"model.chat.1": 2}
        w.texts.write("chat", model(replicas=1))
        await w.until(lambda: w.draining)
        assert w.journal[-1] == "publish [model.chat.0, model.chat.1 draining]"
        await w.pass_time(300.0)
        await w.turns()
        assert w.draining == ["model.chat.1"]
        assert "model.chat.1" in w.replicas()
        w.plane.in_flight = {"model.chat.1": 0}
        await w.until(lambda: "model.chat.1" not in w.replicas())
        await w.until(lambda: len(w.backend().endpoints) == 1)
        assert w.journal[-2:] == ["stop model.chat.1", "publish [model.chat.0]"]


async def test_a_drain_ends_at_its_timeout() -> None:
    async with world(chat=model(replicas=2, drainTimeout="60s")) as w:
        await w.until(lambda: len(w.backend().endpoints) == 2)
        w.plane.in_flight = {"model.chat.1": 2}
        w.texts.write("chat", model(replicas=1, drainTimeout="60s"))
        await w.until(lambda: w.draining)
        await w.pass_time(59.0)
        assert "model.chat.1" in w.replicas()
        await w.pass_time(1.0)
        await w.until(lambda: "model.chat.1" not in w.replicas())


async def test_an_unknown_number_of_requests_does_not_shorten_a_drain() -> None:
    async with world(chat=model(replicas=2, drainTimeout="60s")) as w:
        await w.until(lambda: len(w.backend().endpoints) == 2)
        w.plane.in_flight = None
        w.texts.write("chat", model(replicas=1, drainTimeout="60s"))
        await w.until(lambda: w.draining)
        await w.pass_time(59.0)
        await w.turns()
        assert w.draining == ["model.chat.1"]
        assert "model.chat.1" in w.replicas()
        await w.pass_time(1.0)
        await w.until(lambda: "model.chat.1" not in w.replicas())


async def test_the_time_of_a_drain_counts_from_when_the_proxies_know_of_it() -> None:
    async with world(chat=model(replicas=2, drainTimeout="5s")) as w:
        await w.until(lambda: len(w.backend().endpoints) == 2)
        w.plane.in_flight = None
        w.plane.accepted = False
        w.texts.write("chat", model(replicas=1, drainTimeout="5s"))
        await w.until(lambda: w.draining)
        await w.pass_time(20.0)
        await w.turns()
        assert "model.chat.1" in w.replicas(), "a proxy that has lost its channel sends it requests"
        w.plane.accepted = True
        w.plane.change()
        await w.turns()
        await w.pass_time(4.0)
        assert "model.chat.1" in w.replicas()
        await w.pass_time(1.0)
        await w.until(lambda: "model.chat.1" not in w.replicas())


async def test_a_drain_of_which_no_proxy_ever_hears_ends() -> None:
    async with world(chat=model(replicas=2, drainTimeout="5s")) as w:
        await w.until(lambda: len(w.backend().endpoints) == 2)
        w.plane.accepted = False
        w.texts.write("chat", model(replicas=1, drainTimeout="5s"))
        await w.until(lambda: w.draining)
        await w.pass_time(36.0)
        await w.until(lambda: "model.chat.1" not in w.replicas())


async def test_a_new_revision_takes_over_without_a_gap() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.backend().endpoints)
        before = len(w.plane.published)
        w.texts.write("chat", model(parallel=8))
        await w.until(lambda: "model.chat.1" in w.replicas())
        await w.until(lambda: w.draining)
        await w.pass_time(1.0)
        await w.until(lambda: list(w.replicas()) == ["model.chat.1"])
        await w.turns()
        for traffic in w.plane.published[before:]:
            open_to_new = [e for b in traffic.backends for e in b.endpoints if not e.draining]
            assert open_to_new, "at one moment nobody took requests"


async def test_a_removed_models_requests_are_counted_until_they_end() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.backend().endpoints)
        w.plane.in_flight = {"model.chat.0": 1}
        w.texts.remove("chat")
        await w.until(lambda: w.draining)
        await w.turn()
        (leaving,) = w.plane.traffic.backends
        assert (leaving.protocol, leaving.endpoints[0].draining) == ("leaving", True)
        await w.pass_time(100.0)
        assert w.replicas()
        w.plane.in_flight = {}
        await w.until(lambda: not w.replicas())


async def test_a_removed_apps_port_stays_open_until_its_connections_end() -> None:
    async with world(shop=app()) as w:
        await w.until(lambda: w.backend("app/shop").endpoints)
        port = w.backend("app/shop").listen_port
        w.plane.in_flight = {"app.shop.0": 1}
        w.texts.remove("shop")
        await w.until(lambda: w.draining)
        await w.pass_time(20.0)
        leaving = w.backend("app/shop")
        assert (leaving.listen_port, [e.draining for e in leaving.endpoints]) == (port, [True])
        w.plane.in_flight = {}
        await w.until(lambda: not w.replicas("app/shop"))
        await w.until(lambda: not w.plane.traffic.backends)


async def test_a_gateway_of_another_revision_takes_over_before_the_old_one_leaves() -> None:
    async with world(chat=model()) as w:
        await w.until(w.gateway)
        w.plane.revision = "gateway-2"
        w.control.wake()
        await w.until(lambda: w.draining)
        w.clock.advance(1.0)
        await w.until(lambda: [r.revision for r in w.gateway().values()] == ["gateway-2"])
        moves = [line for line in w.journal if "gateway" in line]
        assert moves == ["start gateway.envoy.0", "start gateway.envoy.1", "stop gateway.envoy.0"]


async def test_a_start_that_fails_is_told_and_tried_again_after_a_while() -> None:
    async with world(shop=app()) as w:
        w.keeper.refusals["model.chat.0"] = "llama-server is not executable"
        w.texts.write("chat", model())
        await w.until(lambda: w.control.observed.failures.get("model/chat"))
        found = w.service()
        assert (found.state, found.reason) == (ServiceState.FAILED, "llama-server is not executable")
        assert w.service("app/shop").state is ServiceState.READY
        tried = w.journal.count("start model.chat.0")
        await w.pass_time(0.5)
        assert w.journal.count("start model.chat.0") == tried
        await w.pass_time(0.5)
        assert w.journal.count("start model.chat.0") == tried + 1
        await w.pass_time(1.5)
        assert w.journal.count("start model.chat.0") == tried + 1  # it waits twice as long
        del w.keeper.refusals["model.chat.0"]
        await w.pass_time(0.5)
        await w.until(lambda: w.service().state is ServiceState.READY)
        assert w.control.observed.failures.get("model/chat") is None


async def test_a_start_that_failed_is_tried_at_once_when_the_text_changes() -> None:
    async with world() as w:
        w.keeper.refusals["model.chat.0"] = "not executable"
        w.texts.write("chat", model())
        await w.until(lambda: w.control.observed.failures.get("model/chat"))
        w.keeper.refusals.clear()
        w.texts.write("chat", model(parallel=2))
        await w.until(lambda: w.service().state is ServiceState.READY)


async def test_a_gateway_that_cannot_start_is_told_and_tried_again() -> None:
    w = World(chat=model())
    w.keeper.refusals["gateway.envoy.0"] = "envoy is not there"
    await w.begin()
    await w.until(lambda: w.status.gateway.reason)
    assert w.status.gateway.reason == "envoy is not there"
    w.keeper.refusals.clear()
    w.clock.advance(10.0)
    await w.until(w.gateway)
    await w.end()


async def test_a_runtime_that_refuses_a_service_hinders_no_other() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        w.texts.write("other", model("other", engine="vllm"))
        await w.until(lambda: w.control.outcome and w.control.outcome.refused)
        found = w.service("model/other")
        assert found.state is ServiceState.FAILED
        assert found.reason == (
            "other needs engine vllm, but there is no program `vllm` on PATH. install vLLM, or set engine: llama.cpp "
            "with a GGUF source"
        )
        assert w.service().state is ServiceState.READY


async def test_a_service_that_is_refused_keeps_the_replicas_it_has() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        w.texts.write("chat", model(contextLength=100_000_000))
        await w.until(lambda: w.control.outcome and w.control.outcome.refused)
        await w.turns()
        assert list(w.replicas()) == ["model.chat.0"]
        assert w.backend().endpoints


async def test_replicas_zero_is_stopped_and_settled() -> None:
    async with world(chat=model(replicas=0)) as w:
        await w.until(w.gateway)
        await w.turns()
        assert w.service().state is ServiceState.STOPPED
        assert w.status.settled


async def test_stop_all_ends_the_gateway_first() -> None:
    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.replicas() and w.replicas("app/shop"))
        await w.end()
        await w.control.stop_all()
        stops = [line for line in w.journal if line.startswith("stop ")]
        assert stops[0] == "stop gateway.envoy.0"
        assert sorted(stops[1:]) == ["stop app.shop.0", "stop model.chat.0"]
        assert sorted(w.keeper.stopped) == ["app.shop.0", "gateway.envoy.0", "model.chat.0"]
        assert w.keeper.observe() == []


async def test_snapshots_show_the_progress_of_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 8: the status showed every replica as ready until the control plane exited."""
    monkeypatch.setattr(loop, "STOPPING_SHOWN_S", 0.01)
    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        stop, may_end = w.keeper.stop, asyncio.Event()

        async def held(replica_id: str) -> None:
            if replica_id == "app.shop.0":
                await may_end.wait()
            await stop(replica_id)

        w.keeper.stop = held  # type: ignore[method-assign]
        await w.end()
        before = w.status.number
        stopping = asyncio.create_task(w.control.stop_all())
        async with asyncio.timeout(10):
            left = ["", ""]
            while len(left) > 1:
                seen = await w.control.snapshots.after(before)
                before = seen.number
                left = [each.id for service in (*seen.services, seen.gateway) for each in service.replicas]
        assert left == ["app.shop.0"]
        may_end.set()
        assert await stopping == {}


async def test_a_control_plane_that_ends_stops_nothing() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        await w.end()
        assert w.keeper.stopped == []
        assert len(w.keeper.observe()) == 2


def _listen_ports(w: World) -> dict[str, int | None]:
    return {b.service: b.listen_port for b in w.plane.traffic.backends}


async def test_an_apps_port_is_handed_out_once_and_kept() -> None:
    async with world(shop=app()) as w:
        await w.until(lambda: w.backend("app/shop").endpoints)
        port = w.backend("app/shop").listen_port
        assert port == 30001
        w.texts.write("blog", app("blog"))
        await w.until(lambda: w.replicas("app/blog"))
        assert _listen_ports(w) == {"app/blog": 30002, "app/shop": 30001}
        await w.restart()
        await w.turns()
        assert _listen_ports(w) == {"app/blog": 30002, "app/shop": 30001}
        assert w.service("app/shop").address == "http://127.0.0.1:30001"
        w.texts.remove("blog")
        await w.until(lambda: w.draining)
        await w.pass_time(31.0)
        await w.until(lambda: "app/blog" not in _listen_ports(w))
        w.texts.write("cart", app("cart"))
        w.texts.write("blog", app("blog"))
        await w.until(lambda: len(_listen_ports(w)) == 3)
        assert _listen_ports(w) == {"app/blog": 30002, "app/cart": 30003, "app/shop": 30001}


async def test_a_port_that_is_fixed_is_the_one_that_is_written() -> None:
    async with world(shop=app(ports={"http": {"port": 9999}})) as w:
        await w.until(lambda: w.backend("app/shop").endpoints)
        assert w.backend("app/shop").listen_port == 9999


async def test_an_app_gets_the_address_of_what_it_uses() -> None:
    async with world(chat=model(), shop=app(uses=["model/chat"])) as w:
        await w.until(lambda: w.replicas("app/shop"))
        assert w.service().address == "http://127.0.0.1:8080/v1"
        assert w.control.addresses()["model/chat"] == "http://127.0.0.1:8080/v1"


async def test_nothing_is_settled_while_an_old_revision_serves() -> None:
    """A3: `up --detach` returned, and a CI job tested the old revision and was green."""
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.settled)
        w.keeper.hold = True
        w.texts.write("chat", model(parallel=2))
        await w.until(lambda: len(w.replicas()) == 2)
        await w.turns()
        assert w.service().state is ServiceState.READY
        assert not w.status.settled
        w.keeper.become_ready("model.chat.1")
        await w.until(lambda: w.draining)
        await w.pass_time(1.0)
        await w.until(lambda: w.status.settled)
        assert [replica.id for replica in w.replicas().values()] == ["model.chat.1"]


async def test_a_new_revision_that_dies_is_degraded_and_settles() -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.settled)
        w.keeper.hold = True
        w.texts.write("chat", model(parallel=2))
        await w.until(lambda: len(w.replicas()) == 2)
        w.keeper.crash("model.chat.1", "exited with code 1")
        await w.until(lambda: w.status.settled)
        assert w.service().state is ServiceState.DEGRADED
        assert w.service().reason == (
            "the previous revision serves; the new one does not become ready: exited with code 1"
        )


async def test_the_address_of_an_app_names_the_scheme_of_its_clients() -> None:
    """C11: clients of a WebSocket take no http:// address."""

    def one(protocol: str) -> str:
        return app(protocol, ports={"main": {"protocol": protocol}}, command=[protocol])

    async with world(http=one("http"), websocket=one("websocket"), tcp=one("tcp")) as w:
        await w.until(lambda: w.service("app/tcp").address)
        names = ("http", "websocket", "tcp")
        schemes = {name: (w.service(f"app/{name}").address or "").partition("127.0.0.1")[0] for name in names}
        assert schemes == {"http": "http://", "websocket": "ws://", "tcp": ""}
