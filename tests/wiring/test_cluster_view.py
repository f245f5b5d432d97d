"""The view of a controller: snapshots, events and figures of its cluster."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from bateau.control.cluster_status import Namespace, cluster_release
from bateau.domain.replica import ReplicaState
from bateau.domain.status import ServiceState
from bateau.domain.system_names import GATEWAY_PROBES_PORT
from bateau.domain.workload import Port, ServiceKey
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.reach import Reach
from bateau.wiring.cluster_view import ClusterView
from bateau.wiring.figures import FRESH_S
from control.test_cluster_status import namespace, pod, workload
from traffic.gateway import eventually


class FakeController:
    """Stands in for a controller: the state that it has in memory."""

    def __init__(self) -> None:
        self.found: list[Namespace] | None = [namespace(workload("web"), seen=Observed(replicas=(pod("app/web"),)))]
        self.gateways: int | None = None
        self.settings = SimpleNamespace(
            access=SimpleNamespace(name="berlin"),
            namespace="bateau-system",
            repository=None,
            bundle=None,
            environment=None,
        )
        self.name = "berlin"
        self.is_read = True
        self.reach = Reach()
        self.wake = lambda: None

    def on_change(self, wake: Any) -> None:
        self.wake = wake

    def namespaces(self) -> list[Namespace]:
        assert self.found is not None, "a bug"
        return self.found


async def test_changes_become_snapshots_and_events() -> None:
    controller = FakeController()
    view = ClusterView(cast("Any", controller))
    running = asyncio.create_task(view.run())
    try:
        async with asyncio.timeout(10):
            first = await view.snapshots.after(-1)
            assert first.services[0].state is ServiceState.READY
            assert (first.instance, view.events()) == ("berlin", ())
            release = view.release
            assert controller.found
            failing = pod("app/web", ReplicaState.BACKOFF, "exited with code 3")
            seen = Observed(replicas=(failing,), moving=frozenset({"app/web"}))
            controller.found = [replace(controller.found[0], seen=seen)]
            controller.wake()
            second = await view.snapshots.after(first.number)
        assert second.services[0].state is ServiceState.STARTING
        assert {each.event.subject for each in view.events()} >= {"app/shop.web"}
        assert view.release is release, "a page of a spec is not made again"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert view.snapshots.ended


async def test_a_cluster_that_is_away_is_one_error_and_its_services_are_no_events() -> None:
    controller = FakeController()
    view = ClusterView(cast("Any", controller))
    running = asyncio.create_task(view.run())
    try:
        async with asyncio.timeout(10):
            first = await view.snapshots.after(-1)
            known, why = controller.found, "cannot reach berlin: Connection refused"
            assert known
            controller.reach.failed(why, is_sure=True)
            controller.is_read = False
            controller.found = [replace(known[0], seen=replace(known[0].seen, unknown=why))]
            controller.wake()
            away = await view.snapshots.after(first.number)
            assert (away.services[0].state, away.services[0].reason) == (ServiceState.UNKNOWN, why)
            assert [each.says for each in away.problems] == [f"the cluster berlin cannot be reached: {why}"]
            assert not away.specs_rejected
            controller.reach.answered()
            controller.is_read, controller.found = True, known
            controller.wake()
            assert (await view.snapshots.after(away.number)).services[0].state is ServiceState.READY
        assert view.events() == (), "nothing has happened to the service"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _has_logged(caplog: pytest.LogCaptureFixture) -> Callable[[], Awaitable[bool]]:
    async def has_logged() -> bool:
        return bool(caplog.records)

    return has_logged


async def test_a_bug_is_logged_and_the_controller_continues(caplog: pytest.LogCaptureFixture) -> None:
    controller = FakeController()
    view = ClusterView(cast("Any", controller))
    found, controller.found = controller.found, None
    running = asyncio.create_task(view.run())
    try:
        async with asyncio.timeout(10):
            await eventually(_has_logged(caplog))
            controller.found = found
            controller.wake()
            await view.snapshots.after(-1)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


async def test_figures_are_those_of_the_gateways_and_unknown_without_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controller = FakeController()
    controller.gateways = 1
    model = replace(workload("web"), key=ServiceKey("model/chat"), ports={"http": Port(protocol="openai")})
    controller.found = [namespace(model)]
    view = ClusterView(cast("Any", controller))
    view.release = cluster_release(controller.found)
    running = asyncio.create_task(view.run())
    monkeypatch.setattr(controller, "api", None, raising=False)

    async def addresses(_api: object, namespace: str) -> tuple[str, ...]:
        assert namespace == "bateau-system"
        return ("127.0.0.9",)

    monkeypatch.setattr("bateau.wiring.cluster_view.gateway_addresses", addresses)
    assert (await view.meter.now()).of("model/shop.chat").requests_per_s is None, "nobody answers there"
    counts = iter((10, 10, 30, 30, 30))

    async def page(request: web.Request) -> web.StreamResponse:
        if request.query["filter"] == "bateau.usage_":
            return web.Response(text=f'envoy_bateau_usage_tokens_out{{key="ci",route="shop/chat"}} {next(counts)}')
        return web.Response(text=f'envoy_bateau_requests{{code="200",route="shop/chat"}} {next(counts)}')

    app = web.Application()
    app.router.add_get("/stats/prometheus", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.9", GATEWAY_PROBES_PORT).start()
    try:
        await asyncio.sleep(FRESH_S + 0.1)
        await view.meter.now()
        await asyncio.sleep(FRESH_S + 0.1)
        found = (await view.meter.now()).of("model/shop.chat")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await runner.cleanup()
    assert (found.requests_per_s or 0) > 0
    assert (found.tokens_per_s or 0) > 0
