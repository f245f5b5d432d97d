"""Figures of services: rates between two looks at the counters, and unknown where these say nothing."""

import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

from bateau.domain.figures import UNKNOWN, ServiceFigures
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.workload import Command, ModelServer, Port, ServiceKey, Workload
from bateau.kit.position import Position
from bateau.testing import ManualClock
from bateau.wiring.figures import WINDOW_S, ServiceMeter, percentile

SERVICES = (
    Workload(
        key=ServiceKey("model/chat"),
        runs=ModelServer(source="smollm2"),
        position=Position("a.yaml", 1, 1),
        ports={"http": Port(protocol="openai")},
    ),
    Workload(
        key=ServiceKey("app/shop"),
        runs=Command(words=("shop",)),
        position=Position("b.yaml", 1, 1),
        ports={"http": Port(protocol="http"), "raw": Port(protocol="tcp")},
    ),
    Workload(
        key=ServiceKey("app/raw"),
        runs=Command(words=("raw",)),
        position=Position("c.yaml", 1, 1),
        ports={"raw": Port(protocol="tcp")},
    ),
)


class Counters:
    """The counters of a gateway and of a ledger, as a test sets them."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], int] = {}
        self.buckets: dict[str, int] = {}
        self.tokens: dict[str, int] | None = {}
        self.uncounted: dict[str, int] = {}
        self.answers = True
        self.asked = 0
        self.clock = ManualClock(monotonic=100.0, wall=1_700_000_000.0)
        self.replicas: list[Replica] = []
        self.meter = ServiceMeter(
            self.clock, asked=self.page, used=self.used, replicas=lambda: self.replicas, services=lambda: SERVICES
        )

    async def page(self, path: str) -> Sequence[str | None]:
        assert path.startswith("/stats/prometheus")
        self.asked += 1
        if not self.answers:
            return [None]
        lines = [
            f'envoy_bateau_requests{{route="{route}",code="{code}"}} {count}'
            for (route, code), count in self.requests.items()
        ]
        lines += [
            f'envoy_bateau_time_to_first_token_bucket{{route="chat",le="{edge}"}} {count}'
            for edge, count in self.buckets.items()
        ]
        return ["\n".join(lines)]

    def used(self) -> tuple[Mapping[str, int], Mapping[str, int]] | None:
        return None if self.tokens is None else (dict(self.tokens), dict(self.uncounted))

    async def of(self, service: str) -> ServiceFigures:
        return (await self.meter.now()).of(service)

    async def after(self, seconds: float, service: str) -> ServiceFigures:
        self.clock.advance(seconds)
        return await self.of(service)


@pytest.fixture
def counters() -> Counters:
    return Counters()


async def test_at_first_nothing_is_known(counters: Counters) -> None:
    counters.requests = {("chat", "200"): 1000}
    assert await counters.of("model/chat") == UNKNOWN


async def test_rates_are_the_differences_of_two_looks(counters: Counters) -> None:
    counters.requests = {("chat", "200"): 1000, ("app/shop/http", "200"): 7}
    await counters.of("model/chat")
    counters.requests = {
        ("chat", "200"): 1018,
        ("chat", "503"): 2,
        ("app/shop/http", "200"): 7,
        ("-metrics-", "200"): 9,
    }
    counters.tokens = {"chat": 400}
    counters.buckets = {"50": 10, "100": 20, "+Inf": 20}
    found = await counters.after(10, "model/chat")
    assert (found.seconds, found.requests_per_s, found.errors, found.tokens_per_s) == (10, 2.0, 0.1, 40.0)
    assert found.latency_s_p95 == pytest.approx(0.095)
    shop = await counters.of("app/shop")
    assert (shop.requests_per_s, shop.errors, shop.latency_s_p95, shop.tokens_per_s) == (0.0, None, None, None)


async def test_tcp_ports_have_no_requests_to_count(counters: Counters) -> None:
    await counters.of("app/raw")
    assert (await counters.after(10, "app/raw")).requests_per_s is None


async def test_a_gateway_that_does_not_answer_gives_no_figures(counters: Counters) -> None:
    await counters.of("model/chat")
    counters.answers = False
    assert (await counters.after(10, "model/chat")).requests_per_s is None
    counters.answers = True
    assert (await counters.after(10, "model/chat")).requests_per_s is None
    assert (await counters.after(10, "model/chat")).requests_per_s == 0.0


async def test_counters_that_begin_again_give_no_figures(counters: Counters) -> None:
    counters.requests = {("chat", "200"): 1000}
    await counters.of("model/chat")
    counters.requests = {("chat", "200"): 5}
    assert (await counters.after(10, "model/chat")).requests_per_s is None
    counters.requests = {("chat", "200"): 15}
    assert (await counters.after(10, "model/chat")).requests_per_s == 1.0


async def test_tokens_that_are_not_known_are_not_shown_as_none(counters: Counters) -> None:
    counters.tokens = None
    await counters.of("model/chat")
    counters.requests = {("chat", "200"): 1}
    assert (await counters.after(10, "model/chat")).tokens_per_s is None
    counters.tokens = {}
    assert (await counters.after(2, "model/chat")).tokens_per_s is None, "the first look had none"


async def test_answers_without_tokens_make_a_lower_bound(counters: Counters) -> None:
    await counters.of("model/chat")
    counters.tokens, counters.uncounted = {"chat": 50}, {"chat": 1}
    found = await counters.after(10, "model/chat")
    assert (found.tokens_per_s, found.tokens_missing) == (5.0, True)


async def test_nothing_is_measured_while_nobody_asks(counters: Counters) -> None:
    await counters.of("model/chat")
    before = counters.asked
    counters.clock.advance(3600)
    assert counters.asked == before
    for _ in range(5):
        await counters.of("model/chat")
    assert counters.asked == before + 1, "readers share a look"


async def test_after_a_long_time_without_readers_the_window_begins_again(counters: Counters) -> None:
    await counters.of("model/chat")
    counters.requests = {("chat", "200"): 5000}
    assert (await counters.after(3600, "model/chat")).requests_per_s is None
    assert (await counters.after(2, "model/chat")).requests_per_s == 0.0


async def test_the_window_moves(counters: Counters) -> None:
    await counters.of("model/chat")
    counters.requests = {("chat", "200"): 100}
    assert ((await counters.after(2, "model/chat")).requests_per_s or 0) > 0
    for _ in range(20):
        await counters.after(2, "model/chat")
    found = await counters.of("model/chat")
    assert (found.requests_per_s, found.seconds) == (0.0, WINDOW_S)


async def test_the_number_changes_only_with_the_figures(counters: Counters) -> None:
    await counters.of("model/chat")
    counters.clock.advance(40)
    first = await counters.meter.now()
    counters.clock.advance(30)
    counters.requests = {("chat", "200"): 100}
    second = await counters.meter.now()
    assert second.number == first.number + 1
    for _ in range(16):
        counters.clock.advance(10)
        await counters.meter.now()
    third = await counters.meter.now()
    counters.clock.advance(10)
    assert (await counters.meter.now()).number == third.number


async def test_memory_is_that_of_all_replicas_and_unknown_where_one_is(counters: Counters) -> None:
    def replica(number: int, pid: int | None) -> Replica:
        return Replica(
            id=f"app.shop.{number}", service="app/shop", revision="1", state=ReplicaState.READY, pid=pid, restarts=0
        )

    # In a session of its own, because the one of these tests may have processes that only root can look at.
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220
        assert process.stdout and process.stdout.readline()
        counters.replicas = [replica(0, process.pid)]
        assert ((await counters.of("app/shop")).memory_bytes or 0) > 2**20
        counters.replicas = [replica(0, process.pid), replica(1, 2**22 + 1)]
        assert (await counters.after(60, "app/shop")).memory_bytes is None
        counters.replicas = []
        assert (await counters.after(60, "app/shop")).memory_bytes is None
        process.communicate(b"\n")


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({}, None),
        ({10.0: 0.0, float("inf"): 0.0}, None),
        ({10.0: 100.0, float("inf"): 100.0}, 9.5),
        ({10.0: 0.0, 20.0: 0.0, float("inf"): 4.0}, 20.0),
    ],
)
def test_a_percentile_of_buckets(buckets: Mapping[float, float], expected: float | None) -> None:
    assert percentile(buckets, 0.95) == expected
