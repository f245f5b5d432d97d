"""The measures of services: the increases between two looks, and unknown where a source says nothing."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from bateau.control.live_history import LiveHistory
from bateau.domain import measures as m
from bateau.domain.measures import MeasureHistory
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.slo import Slo
from bateau.domain.status import ServiceState, ServiceStatus, Status
from bateau.domain.workload import Command, ModelServer, Port, ServiceKey, Workload
from bateau.kit.position import Position
from bateau.observe.sessions import Use
from bateau.testing import ManualClock
from bateau.wiring import sampling
from bateau.wiring.sampling import Sampler, Sources

CHAT, SHOP, ENVOY = "model/chat", "app/shop", "gateway/envoy"
SERVICES = (
    Workload(
        key=ServiceKey(CHAT),
        runs=ModelServer(source="smollm2"),
        position=Position("a.yaml", 1, 1),
        ports={"http": Port(protocol="openai")},
        slo=Slo(latency_p95_s=0.1),
    ),
    Workload(
        key=ServiceKey(SHOP),
        runs=Command(words=("shop",)),
        position=Position("b.yaml", 1, 1),
        slo=Slo(latency_p95_s=0.1),
        ports={"http": Port(protocol="http"), "admin": Port(protocol="http"), "raw": Port(protocol="tcp")},
    ),
)


def replica(service: str, pid: int, *, restarts: int = 0) -> Replica:
    name = f"{service.replace('/', '.')}.0"
    return Replica(id=name, service=service, revision="1", state=ReplicaState.READY, pid=pid, restarts=restarts)


def status(service: str) -> ServiceStatus:
    return ServiceStatus(
        service=service, state=ServiceState.READY, reason=None, replicas_wanted=2, replicas_ready=1, engine="process"
    )


class Instance:
    """Everything that is measured, as a test sets it. It is also the history."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock(monotonic=100.0, wall=1_700_000_010.0)
        self.requests: dict[tuple[str, str], int] = {}
        self.buckets: dict[str, int] = {}
        self.bytes: dict[str, dict[str, int]] = {}
        self.active: dict[str, int] = {}
        self.pages: list[str | None] | None = None
        self.waiting: Mapping[str, str | None] = {}
        self.tokens: tuple[Mapping[str, int], Mapping[str, int]] | None = ({}, {})
        self.replicas = [replica(CHAT, 10), replica(SHOP, 20), replica(ENVOY, 30)]
        self.cpu: dict[int, float | None] = {10: 1.0, 20: 2.0, 30: 3.0}
        self.memory: dict[int, int | None] = {10: 2**20, 20: 2**21, 30: 2**22}
        self.points: list[tuple[float, Mapping[str, Mapping[str, float]]]] = []
        self.failing: Exception | None = None
        self.statuses = [status(CHAT), status(SHOP), status(ENVOY)]
        monkeypatch.setattr(sampling, "use_by_session", self._uses)
        sources = Sources(
            asked=self._asked,
            replica_pages=self._replica_pages,
            tokens=lambda: self.tokens,
            replicas=lambda: self.replicas,
            services=lambda: SERVICES,
            statuses=lambda: self.statuses,
            gateways=lambda: frozenset({ENVOY}),
        )
        self.sampler = Sampler(self.clock, sources, self)

    def add(self, when_s: float, values: Mapping[str, Mapping[str, float]]) -> None:
        self.points.append((when_s, values))

    async def _asked(self, path: str) -> Sequence[str | None]:
        assert path.startswith("/stats/prometheus?usedonly")
        if self.failing:
            raise self.failing
        if self.pages is not None:
            return self.pages
        lines = [
            f'envoy_bateau_requests{{route="{route}",code="{code}"}} {count}'
            for (route, code), count in self.requests.items()
        ]
        lines += [
            f'envoy_bateau_time_to_first_token_bucket{{route="chat",le="{edge}"}} {count}'
            for edge, count in self.buckets.items()
        ]
        lines += [
            f'envoy_bateau_time_to_first_byte_bucket{{route="app/shop/{port}",le="{edge}"}} {count}'
            for port, buckets in self.bytes.items()
            for edge, count in buckets.items()
        ]
        lines += [
            f'envoy_cluster_upstream_rq_active{{envoy_cluster_name="{name}"}} {count}'
            for name, count in self.active.items()
        ]
        return ["\n".join(lines)]

    def _uses(self, pids: Sequence[int]) -> Mapping[int, Use]:
        return {pid: Use(cpu_s=self.cpu[pid], memory_bytes=self.memory[pid]) for pid in pids}

    async def _replica_pages(self) -> Mapping[str, str | None]:
        return self.waiting

    async def after(self, seconds: float = 15.0) -> Mapping[str, Mapping[str, float]]:
        self.clock.advance(seconds)
        await self.sampler.sample()
        return self.points[-1][1]


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Instance:
    return Instance(monkeypatch)


async def test_the_first_look_has_gauges_and_no_increase(instance: Instance) -> None:
    instance.requests = {("chat", "200"): 1000}
    found = await instance.after()
    assert found[CHAT] == {"replicas_wanted": 2, "replicas_ready": 1, "memory": 2**20, "active": 0}
    assert found[ENVOY] == {"replicas_wanted": 2, "replicas_ready": 1, "memory": 2**22}


async def test_an_external_api_lacks_no_replica(instance: Instance) -> None:
    external = replace(status(CHAT), engine="external", replicas_ready=0)
    instance.statuses = [external]
    found = (await instance.after())[CHAT]
    assert not {"replicas_wanted", "replicas_ready"} & found.keys()

    def latest(_: str) -> Mapping[str, float]:
        return {"requests": 1.0}

    snapshot = cast("Status", SimpleNamespace(services=(external,)))
    live = LiveHistory(cast("MeasureHistory", SimpleNamespace(latest=latest)), snapshot, ())
    assert live.latest(CHAT) == {"requests": 1.0}, "or an alert would say that it is down"


async def test_sums_are_the_increases_between_two_looks(instance: Instance) -> None:
    instance.requests = {("chat", "200"): 1000, ("app/shop/http", "200"): 7}
    instance.tokens = ({"chat": 50}, {"chat": 500})
    await instance.after()
    instance.requests = {
        ("chat", "200"): 1018,
        ("chat", "404"): 1,
        ("chat", "503"): 2,
        ("app/shop/http", "200"): 8,
        ("app/shop/admin", "500"): 3,
        ("app/shop2/http", "500"): 100,
        ("-metrics-", "200"): 9,
    }
    instance.tokens = ({"chat": 90}, {"chat": 520})
    instance.active = {"model/chat": 2, "model/chat#3": 1, "app/shop/http": 5, "bateau-control": 7}
    instance.cpu = {10: 4.5, 20: 2.0, 30: 3.25}
    instance.replicas[1] = replica(SHOP, 20, restarts=2)
    found = await instance.after()
    chat = found[CHAT]
    assert (chat["requests"], chat["client_errors"], chat["server_errors"]) == (21, 1, 2)
    assert (chat["input_tokens"], chat["output_tokens"], chat["active"], chat["cpu"]) == (40, 20, 3, 3.5)
    assert (chat["restarts"], found[SHOP]["restarts"]) == (0, 2)
    shop = found[SHOP]
    assert (shop["requests"], shop["server_errors"], shop["active"], shop["cpu"]) == (4, 3, 5, 0)
    assert "input_tokens" not in shop and "requests" not in found[ENVOY]
    assert found[ENVOY]["cpu"] == 0.25


async def test_first_tokens_of_a_model_are_slow_beyond_the_objective(instance: Instance) -> None:
    instance.buckets = {"50": 10, "100": 10, "250": 10, "+Inf": 10}
    await instance.after()
    instance.buckets = {"50": 20, "100": 25, "250": 29, "+Inf": 30}
    chat = (await instance.after())[CHAT]
    assert (chat["answers"], chat["slow"]) == (20, 5)
    assert chat["latency_p95"] == pytest.approx(0.25)
    chat = (await instance.after())[CHAT]
    assert (chat["answers"], chat["slow"]) == (0, 0)
    assert "latency_p95" not in chat, "without an answer nothing took any time"


async def test_first_bytes_of_all_ports_of_an_app_are_slow_beyond_the_objective(instance: Instance) -> None:
    instance.bytes = {"http": {"50": 1, "100": 1, "250": 1, "+Inf": 1}, "admin": {"50": 0, "100": 0, "+Inf": 0}}
    await instance.after()
    instance.bytes = {"http": {"50": 7, "100": 9, "250": 11, "+Inf": 11}, "admin": {"50": 1, "100": 1, "+Inf": 2}}
    shop = (await instance.after())[SHOP]
    assert (shop["answers"], shop["slow"]) == (12, 3)


async def test_requests_that_wait_are_those_of_all_replicas(instance: Instance) -> None:
    instance.waiting = {"model.chat.0": "llamacpp:requests_deferred 3\nllamacpp:n_decode_total 7\n"}
    assert (await instance.after())[CHAT]["waiting"] == 3
    instance.waiting = {"model.chat.0": None}
    assert "waiting" not in (await instance.after())[CHAT]


@pytest.mark.parametrize("pages", [[None], ["", None]])
async def test_the_requests_of_a_silent_gateway_are_in_the_next_interval(
    instance: Instance, pages: list[str | None]
) -> None:
    await instance.after()
    instance.pages, instance.requests = pages, {("chat", "200"): 3}
    silent = (await instance.after())[CHAT]
    assert not {"requests", "active", "client_errors", "answers"} & silent.keys()
    instance.pages, instance.requests = None, {("chat", "200"): 5}
    assert (await instance.after())[CHAT]["requests"] == 5
    assert (await instance.after())[CHAT]["requests"] == 0


async def test_the_requests_of_a_gateway_that_was_silent_for_long_are_unknown(instance: Instance) -> None:
    await instance.after()
    instance.pages = [None]
    for _ in range(4):
        await instance.after()
    instance.pages, instance.requests = None, {("chat", "200"): 5}
    assert "requests" not in (await instance.after())[CHAT]
    assert (await instance.after())[CHAT]["requests"] == 0


async def test_another_gateway_after_a_silent_one_is_unknown(instance: Instance) -> None:
    await instance.after()
    instance.pages = [None]
    await instance.after()
    instance.replicas[2] = replica(ENVOY, 31)
    instance.cpu[31], instance.memory[31] = 0.5, 2**20
    instance.pages, instance.requests = None, {("chat", "200"): 5}
    assert "requests" not in (await instance.after())[CHAT]


async def test_counters_that_begin_again_are_unknown_once(instance: Instance) -> None:
    instance.requests, instance.tokens = {("chat", "200"): 1000}, ({"chat": 10}, {"chat": 100})
    await instance.after()
    instance.requests, instance.tokens = {("chat", "200"): 5}, ({"chat": 12}, {"chat": 1})
    chat = (await instance.after())[CHAT]
    assert "requests" not in chat and "output_tokens" not in chat
    assert chat["input_tokens"] == 2
    instance.requests = {("chat", "200"): 15}
    assert (await instance.after())[CHAT]["requests"] == 10


async def test_another_gateway_is_unknown_even_if_its_counters_are_larger(instance: Instance) -> None:
    instance.requests = {("chat", "200"): 2}
    await instance.after()
    instance.replicas[2] = replica(ENVOY, 31)
    instance.cpu[31], instance.memory[31] = 0.5, 2**20
    instance.requests = {("chat", "200"): 5}
    found = await instance.after()
    assert "requests" not in found[CHAT]
    assert found[ENVOY]["cpu"] == 0.5, "a new process has used all its time since the last look"


async def test_processes_that_cannot_be_read_are_unknown(instance: Instance) -> None:
    await instance.after()
    instance.cpu[10], instance.memory[10] = None, None
    chat = (await instance.after())[CHAT]
    assert "cpu" not in chat and "memory" not in chat
    instance.cpu[10] = 9.0
    assert "cpu" not in (await instance.after())[CHAT], "the look before does not know it"
    instance.cpu[10] = 8.0
    assert "cpu" not in (await instance.after())[CHAT], "time that goes back"
    instance.cpu[10] = 8.5
    assert (await instance.after())[CHAT]["cpu"] == 0.5


async def test_tokens_that_are_not_known_are_missing(instance: Instance) -> None:
    instance.tokens = None
    await instance.after()
    instance.tokens = ({"chat": 1}, {"chat": 2})
    assert "output_tokens" not in (await instance.after())[CHAT]
    assert (await instance.after())[CHAT]["output_tokens"] == 0


async def test_an_increase_over_a_long_time_belongs_to_no_interval(instance: Instance) -> None:
    await instance.after()
    instance.requests = {("chat", "200"): 5000}
    assert "requests" not in (await instance.after(600))[CHAT]
    instance.requests = {("chat", "200"): 5001}
    assert (await instance.after())[CHAT]["requests"] == 1


async def test_intervals_end_at_whole_steps_and_each_is_measured_once(instance: Instance) -> None:
    await instance.after(0.7)
    await instance.after(0.1)
    await instance.after(14.9)
    await instance.after(15.0)
    assert [when for when, _ in instance.points] == [1_700_000_010.0, 1_700_000_025.0, 1_700_000_040.0]


async def test_a_clock_that_was_set_back_begins_anew(instance: Instance) -> None:
    await instance.after()
    instance.clock.set_wall(1_600_000_000.0)
    instance.requests = {("chat", "200"): 5}
    assert "requests" not in (await instance.after())[CHAT]
    instance.requests = {("chat", "200"): 6}
    assert (await instance.after())[CHAT]["requests"] == 1


async def test_a_source_that_fails_leaves_the_others(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    await instance.after()
    instance.failing = RuntimeError("the gateway is odd")
    for _ in range(3):
        found = await instance.after()
        assert found[CHAT]["memory"] == 2**20 and "requests" not in found[CHAT]
    assert [each.levelno for each in caplog.records] == [logging.ERROR]
    assert "requests cannot be measured" in caplog.text


async def test_a_bug_about_one_service_leaves_the_others(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(_: object, replicas: Sequence[Replica]) -> float | None:
        if any(each.service == CHAT for each in replicas):
            raise RuntimeError("a bug")
        return None

    monkeypatch.setattr(sampling, "_waiting", odd)
    for _ in range(3):
        found = await instance.after()
        assert SHOP in found and CHAT not in found
    assert [each.getMessage() for each in caplog.records] == [
        f"{CHAT} cannot be measured at the moment, because of a bug"
    ]


async def test_the_metrics_page_gets_the_time_since_the_beginning(instance: Instance) -> None:
    await instance.after()
    instance.cpu[10] = 2.5
    await instance.after()
    instance.cpu[10] = 3.0
    await instance.after()
    assert instance.sampler.processes.cpu_s == {CHAT: 2.0, SHOP: 0.0, ENVOY: 0.0}
    assert instance.sampler.processes.memory_bytes == {CHAT: 2**20, SHOP: 2**21, ENVOY: 2**22}


async def test_a_sample_is_taken_at_the_end_of_an_interval(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def slept(seconds: float) -> None:
        waits.append(seconds)
        instance.clock.advance(seconds)

    monkeypatch.setattr(asyncio, "sleep", slept)
    for _ in range(3):
        await instance.sampler.sample_on_time()
    assert [when for when, _ in instance.points] == [1_700_000_025.0, 1_700_000_040.0, 1_700_000_055.0]
    assert waits == [pytest.approx(15.05), pytest.approx(15.0), pytest.approx(15.0)]


def test_every_value_is_that_of_a_measure() -> None:
    assert replace(m.REQUESTS) in m.MEASURES
    assert len({each.name for each in m.MEASURES}) == len(m.MEASURES)
