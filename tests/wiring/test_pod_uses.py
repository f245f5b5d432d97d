"""What the services of a cluster use, from figures of their pods, against a small API server."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from aiohttp import web

from bateau.domain.figures import ServiceFigures, Uses
from bateau.domain.replica import Replica, ReplicaState
from bateau.runtimes.kubernetes import ApiServer
from bateau.runtimes.kubernetes.usage import PodUse
from bateau.testing import ManualClock
from bateau.wiring.figures import ServiceMeter
from bateau.wiring.pod_uses import FRESH_S, PodUses, uses_of
from control.test_cluster_status import pod, workload
from runtimes.kubernetes.servant import served, status
from runtimes.kubernetes.test_usage import measured, metrics_at

MIB = 2**20
RUNS = replace(pod("app/web"), id="shop/web-1", service="app/shop.web")
SECOND = replace(RUNS, id="shop/web-2")
ONE = PodUse(cpu_cores=0.25, memory_bytes=12 * MIB)


def measuring(api: ApiServer, clock: ManualClock, replicas: Sequence[Replica] = (RUNS,)) -> PodUses:
    return PodUses(clock, api=lambda: api, replicas=lambda: replicas)


def test_a_service_with_a_pod_that_is_not_measured_is_unknown() -> None:
    both = {RUNS.id: ONE, SECOND.id: ONE}
    assert uses_of([RUNS, SECOND], both) == Uses(
        memory_bytes={"app/shop.web": 24 * MIB}, cpu_cores={"app/shop.web": 0.5}
    )
    assert uses_of([RUNS, SECOND], {RUNS.id: ONE}) == Uses(), "half of it is not its memory"
    assert uses_of([replace(RUNS, state=ReplicaState.STARTING)], {}) == Uses(), "and nothing is not 0"


def test_a_pod_that_runs_nothing_hides_no_other() -> None:
    waits = replace(SECOND, state=ReplicaState.STARTING, reason="not scheduled: 0/3 nodes have enough memory")
    assert uses_of([RUNS, waits], {RUNS.id: ONE}).memory_bytes == {"app/shop.web": 12 * MIB}


async def test_open_pages_share_what_was_measured() -> None:
    clock = ManualClock()
    async with served(measured(metrics_at("web-1", 5))) as (api, servant):
        uses = measuring(api, clock)
        found = await asyncio.gather(*(uses.now() for _ in range(20)))
        assert {each.memory_bytes["app/shop.web"] for each in found} == {12 * MIB}
        assert len(servant.asked) == 2, "the version, and the pods"
        clock.advance(FRESH_S - 1)
        await uses.now()
        assert len(servant.asked) == 2
        clock.advance(1)
        await uses.now()
        assert len(servant.asked) == 3


async def test_a_cluster_without_services_is_asked_for_nothing() -> None:
    async with served(measured()) as (api, servant):
        assert await measuring(api, ManualClock(), ()).now() == Uses()
    assert servant.asked == []


async def test_a_reason_is_shown_with_the_figures_and_no_figure_is_0() -> None:
    clock = ManualClock()
    async with served(status(404, "NotFound", "the server could not find the requested resource")) as (api, servant):
        meter = metered(api, clock)
        found = await meter.now()
        assert found.unmeasured
        assert found.unmeasured.startswith(
            "berlin has no metrics: it does not serve metrics.k8s.io (install metrics-server"
        )
        assert (found.of("app/shop.web").memory_bytes, found.of("app/shop.web").cpu_cores) == (None, None)
        servant.answers[:] = [measured(metrics_at("web-1", 5))]
        clock.advance(FRESH_S)
        found = await meter.now()
        assert found.unmeasured is None
        assert found.of("app/shop.web") == ServiceFigures(memory_bytes=12 * MIB, cpu_cores=0.25)


async def test_a_right_that_is_missing_is_named() -> None:
    says = 'pods.metrics.k8s.io is forbidden: User "me" cannot list resource "pods" in API group "metrics.k8s.io"'

    async def forbids(request: web.Request) -> web.StreamResponse:
        if request.path == "/apis/metrics.k8s.io/v1beta1":
            return await measured()(request)
        return await status(403, "Forbidden", says)(request)

    async with served(forbids) as (api, _):
        found = await measuring(api, ManualClock()).now()
    assert found.unknown
    assert 'cannot list resource "pods" in API group "metrics.k8s.io"' in found.unknown


async def test_metrics_that_never_answer_hold_up_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def waits(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits that long")

    monkeypatch.setattr("bateau.wiring.pod_uses._PATIENCE_S", 0.2)
    async with served(waits) as (api, _):
        found = await measuring(api, ManualClock()).now()
    assert found.unknown == "metrics.k8s.io gave no answer within 0.2 s"


def metered(api: ApiServer, clock: ManualClock) -> ServiceMeter:
    async def no_pages(_path: str) -> Sequence[str | None]:
        return []

    return ServiceMeter(
        clock,
        asked=no_pages,
        used=lambda: None,
        replicas=tuple,
        services=lambda: [replace(workload("web"), key=RUNS.service)],
        uses=measuring(api, clock).now,
    )
