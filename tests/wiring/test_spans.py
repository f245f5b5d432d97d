"""Spans across collectors that go away and control planes that are killed: none is lost, and none is counted twice."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bateau.domain.api_key import ApiKey
from bateau.kit.backoff import Backoff
from bateau.observe.otlp import Collector as Address
from bateau.store.ledger import Ledger
from bateau.store.state_file import StateFile
from bateau.testing import ManualClock
from bateau.wiring import spans as module
from bateau.wiring.chores import repeated
from bateau.wiring.keys import Keys
from bateau.wiring.spans import BATCH_MAX, KEPT_S, PARTS_MAX, WAITING_MAX, SpanSender
from bateau.wiring.usage import Owners
from observe.collector import Collector, attributes_of, collector, partial_success
from wiring.fed import Fed

NOW = 1_800_000_000.0
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


class Instance:
    """The files that outlive a control plane, and a collector."""

    def __init__(self, base: Path, other: Collector) -> None:
        self.ledger = Ledger(base / "usage")
        self.ledger.open()
        self.keys = Keys("test", {"XDG_STATE_HOME": str(base), "HOME": str(base)})
        self.file = base / "spans.json"
        self.clock = ManualClock(wall=NOW)
        self.collector = other
        self.written = 0

    def sender(self) -> Fed[SpanSender]:
        url = f"{self.collector.url}/v1/traces"
        sender = SpanSender(
            Address(url=url, shown=url),
            self.ledger,
            StateFile(self.file),
            owners=Owners(self.keys),
            clock=self.clock,
            server=("127.0.0.1", 8080),
        )
        return Fed(self.ledger, sender)

    def write(self, count: int, at: float = NOW, **more: object) -> None:
        tree = {"v": "1", "time": f"{at:.3f}", "path": "/v1/completions", "model": "chat", "status": "200", **more}
        with self.ledger.path.open("a") as file:
            for _ in range(count):
                file.write(json.dumps({**tree, "id": f"r{self.written}"}) + "\n")
                self.written += 1

    async def send(self, sender: Fed[SpanSender] | None = None) -> Fed[SpanSender]:
        """Send until the end of the ledger, once."""
        sender = sender or self.sender()
        async with sender.consumer.exporter() as exporter:
            while sender.turn(NOW):
                await sender.consumer.send(exporter)
            await sender.consumer.send(exporter)
        return sender

    async def send_last(self, sender: Fed[SpanSender]) -> None:
        async def read() -> bool:
            return sender.turn(NOW)

        await sender.consumer.send_last(read)

    @contextlib.asynccontextmanager
    async def sending(self, sender: Fed[SpanSender]) -> AsyncGenerator[None, None]:
        """Send in the background; at the end the control plane is killed."""

        async def read() -> None:
            sender.turn(NOW)

        async with sender.consumer.exporter() as exporter:
            tasks = [
                asyncio.create_task(repeated(chore, every_s=0.01, wrong="not sent"))
                for chore in (read, lambda: sender.consumer.send(exporter))
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def arrived(self) -> Sequence[str]:
        return [attributes_of(span)["bateau.request.id"] for span in self.collector.spans]


@pytest_asyncio.fixture
async def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Instance]:
    monkeypatch.setattr(module, "_BACKOFF", Backoff(initial_s=0.01, ceiling_s=0.05))
    async with collector() as other:
        made = Instance(tmp_path, other)
        await made.send()  # from now on, what is in the ledger is new
        yield made


async def until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "not within 10 s"
        await asyncio.sleep(0.01)


async def test_each_request_becomes_one_span(instance: Instance) -> None:
    instance.keys.create(ApiKey(name="ci", owner="ada", created_at=0.0))
    instance.write(1, key="ci", traceparent=f"{TRACE}-01")
    instance.write(2)
    sender = await instance.send()
    first, *_ = instance.collector.spans
    found = attributes_of(first)
    assert (found["bateau.key"], found["bateau.owner"], found["server.port"]) == ("ci", "ada", 8080)
    assert instance.arrived == ["r0", "r1", "r2"]
    await instance.send(sender)
    assert len(instance.arrived) == 3
    assert sender.consumer.outcomes == {"sent": 3, "rejected": 0, "expired": 0, "unsampled": 0}


async def test_what_was_in_the_ledger_before_is_not_sent(tmp_path: Path) -> None:
    async with collector() as other:
        instance = Instance(tmp_path, other)
        instance.write(3)
        await instance.send()
        instance.write(2)
        await instance.send()
        assert instance.arrived == ["r3", "r4"]


async def test_a_collector_that_returns_gets_all_spans_in_batches(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    await instance.collector.close()
    sender = instance.sender()
    with caplog.at_level(logging.INFO):
        async with instance.sending(sender):
            instance.write(10)
            await until(lambda: sender.consumer.failed_exports > 3)
            instance.write(2 * BATCH_MAX)
            await instance.collector.open()
            await until(lambda: len(instance.arrived) == instance.written)
            await until(lambda: json.loads(instance.file.read_text())["position"])
    assert sorted(set(instance.arrived)) == sorted(f"r{number}" for number in range(instance.written))
    assert len(instance.arrived) == instance.written
    assert (
        max(len(one["resource_spans"][0]["scope_spans"][0]["spans"]) for one in instance.collector.taken) <= BATCH_MAX
    )
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "does not take spans now" in caplog.text


async def test_while_a_collector_is_away_few_spans_are_in_memory(instance: Instance) -> None:
    instance.collector.status = 503
    sender = instance.sender()
    async with instance.sending(sender):
        instance.write(20 * BATCH_MAX)
        await until(lambda: sender.consumer.failed_exports > 2 and sender.consumer.waiting >= WAITING_MAX)
        for _ in range(3 * PARTS_MAX):  # parts with hardly any spans are few, too
            instance.write(1)
            sender.turn(NOW)
        assert sender.consumer.waiting <= WAITING_MAX + BATCH_MAX
        instance.collector.status = 200
        await until(lambda: len(instance.arrived) == instance.written)
    assert sorted(set(instance.arrived)) == sorted(f"r{number}" for number in range(instance.written))


async def test_while_a_collector_is_away_few_parts_are_in_memory(instance: Instance) -> None:
    sender = instance.sender()
    taken = before = 0
    for _ in range(3 * PARTS_MAX):
        instance.write(1, traceparent=f"{TRACE}-00")
        sender.turn(NOW)
        taken, before = sender.consumer.outcomes["unsampled"], taken
    assert taken == before == PARTS_MAX
    instance.write(1)
    await instance.send(sender)
    await instance.send(sender)
    assert len(instance.arrived) == 1


async def test_a_killed_control_plane_sends_what_was_not_taken_and_nothing_else(instance: Instance) -> None:
    instance.write(BATCH_MAX + 5)
    await instance.send()
    instance.collector.status = 503
    instance.write(7)
    sender = instance.sender()
    async with instance.sending(sender):
        await until(lambda: sender.consumer.failed_exports > 2)
    instance.write(3)  # while none runs
    instance.collector.status = 200
    await instance.send()
    assert instance.arrived == [f"r{number}" for number in range(BATCH_MAX + 15)]


async def test_a_span_that_is_sent_again_has_the_same_ids(instance: Instance) -> None:
    before = instance.file.read_text()
    instance.write(2)
    await instance.send()
    instance.file.write_text(before)  # killed after the collector had it, before the position was written
    await instance.send()
    one, two, same, again = instance.collector.spans
    assert [(span["trace_id"], span["span_id"]) for span in (one, two)] == [
        (span["trace_id"], span["span_id"]) for span in (same, again)
    ]
    assert one["span_id"] != two["span_id"]


async def test_spans_of_more_than_a_day_ago_are_given_up_and_counted(instance: Instance) -> None:
    instance.write(3, at=NOW - KEPT_S - 1)
    instance.write(2)
    sender = await instance.send()
    assert instance.arrived == ["r3", "r4"]
    assert sender.consumer.outcomes["expired"] == 3
    # They become too old while they wait.
    instance.collector.status = 503
    instance.write(4)
    async with instance.sending(sender):
        await until(lambda: sender.consumer.failed_exports > 2)
        instance.clock.set_wall(NOW + KEPT_S + 1)
        await until(lambda: sender.consumer.outcomes["expired"] == 7)


async def test_spans_that_are_rejected_are_counted_and_the_next_ones_are_sent(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    sender = instance.sender()
    instance.collector.status = 400
    instance.write(3)
    await instance.send(sender)
    instance.collector.status, instance.collector.answer = 200, partial_success(1, "odd\x1b[2J")
    instance.write(4)
    await instance.send(sender)
    assert sender.consumer.outcomes == {"sent": 3, "rejected": 4, "expired": 0, "unsampled": 0}
    assert "HTTP 400" in caplog.text
    assert "odd\\x1b[2J" in caplog.text


async def test_a_client_that_does_not_record_its_trace_has_no_span(instance: Instance) -> None:
    instance.write(2, traceparent=f"{TRACE}-00")
    instance.write(1, traceparent=f"{TRACE}-01")
    sender = await instance.send()
    assert instance.arrived == ["r2"]
    assert sender.consumer.outcomes["unsampled"] == 2


async def test_a_collector_that_does_not_answer_ends_no_control_plane(instance: Instance) -> None:
    """A control plane that is asked to stop does not wait for a collector."""
    instance.collector.holds = True
    instance.write(1)
    before = len(instance.collector.asked)
    async with asyncio.timeout(3), instance.sending(instance.sender()):
        await until(lambda: len(instance.collector.asked) > before)


async def test_an_orderly_end_sends_what_is_left(instance: Instance) -> None:
    sender = await instance.send()
    instance.write(BATCH_MAX + 3)
    await instance.send_last(sender)
    assert instance.arrived == [f"r{number}" for number in range(BATCH_MAX + 3)]
    await instance.send()
    assert len(instance.arrived) == BATCH_MAX + 3


@pytest.mark.parametrize("how", ["gone", "holds", "busy"])
async def test_an_orderly_end_does_not_wait_for_a_collector_and_loses_nothing(instance: Instance, how: str) -> None:
    sender = instance.sender()
    instance.collector.status = 503
    instance.write(2)
    async with instance.sending(sender):
        await until(lambda: sender.consumer.failed_exports > 1)
    instance.write(2)
    if how == "gone":
        await instance.collector.close()
    instance.collector.holds = how == "holds"
    async with asyncio.timeout(3):
        await instance.send_last(sender)
    await instance.collector.close()
    await instance.collector.open()
    instance.collector.holds, instance.collector.status = False, 200
    await instance.send()
    assert instance.arrived == ["r0", "r1", "r2", "r3"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"format": 99}',
        '{"format": 2, "spans_format": 9}',
        '{"format": 2, "spans_format": 1}',
        '{"format": 2, "spans_format": 1, "position": {"a": -1}}',
    ],
)
async def test_a_position_that_cannot_be_read_is_reported_and_sends_nothing_again(
    instance: Instance, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    instance.write(3)
    await instance.send()
    instance.file.write_text(content)
    with caplog.at_level(logging.ERROR):
        await instance.send()
    assert caplog.records
    assert len(instance.arrived) == 3
    instance.write(1)
    await instance.send()
    assert len(instance.arrived) == 4
