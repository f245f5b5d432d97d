"""The sender of spans at a real HTTP server: which failures may be tried again, and that no secret is shown."""

import socket

import pytest

from bateau.observe.otlp import Collector, Failed, OtlpExporter, Sent
from bateau.observe.spans import Span
from observe.collector import attributes_of, collector, partial_success

SPAN = Span(
    trace_id=b"t" * 16, span_id=b"s" * 8, parent_id=None, name="chat", began_ns=1, ended_ns=2, is_error=False,
    attributes={"a": 1},
)  # fmt: skip


def at(url: str) -> Collector:
    return Collector(
        url=f"{url}/v1/traces?token=SECRET",
        shown=f"{url}/v1/traces",
        headers={"authorization": "Bearer SECRET"},
        resource={"service.name": "here"},
    )


async def test_spans_arrive_with_the_headers_of_the_collector() -> None:
    async with collector() as other, OtlpExporter(at(other.url)) as exporter:
        assert await exporter.send([SPAN, SPAN]) == Sent()
    assert [attributes_of(span) for span in other.spans] == [{"a": 1}, {"a": 1}]
    assert attributes_of(other.taken[0]["resource_spans"][0]["resource"]) == {"service.name": "here"}
    (headers,) = other.asked
    assert (headers["authorization"], headers["content-type"]) == ("Bearer SECRET", "application/x-protobuf")
    assert headers["user-agent"].startswith("bateau/")


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (429, {"retry-after": "7"}, Failed(why="HTTP 429", again=True, after_s=7.0)),
        (503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, Failed(why="HTTP 503", again=True)),
        (502, {}, Failed(why="HTTP 502", again=True)),
        (504, {}, Failed(why="HTTP 504", again=True)),
        (500, {}, Failed(why="HTTP 500", again=False)),
        (400, {}, Failed(why="HTTP 400", again=False)),
        (401, {}, Failed(why="HTTP 401", again=False)),
        (307, {"location": "http://127.0.0.1:9/"}, Failed(why="HTTP 307", again=False)),
        (202, {}, Sent()),
    ],
)
async def test_only_failures_that_pass_are_tried_again(
    status: int, headers: dict[str, str], outcome: Sent | Failed
) -> None:
    async with collector() as other, OtlpExporter(at(other.url)) as exporter:
        other.status, other.headers = status, headers
        assert await exporter.send([SPAN]) == outcome
    assert len(other.asked) == 1


async def test_spans_that_are_rejected_are_counted() -> None:
    async with collector() as other, OtlpExporter(at(other.url)) as exporter:
        other.answer = partial_success(1, "too long")
        assert await exporter.send([SPAN, SPAN]) == Sent(rejected=1, why="too long")


async def test_no_error_contains_a_secret() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}"
        for url in (closed, "http://nowhere.invalid", "https://127.0.0.1:1"):
            async with OtlpExporter(at(url)) as exporter:
                outcome = await exporter.send([SPAN])
            assert isinstance(outcome, Failed)
            assert outcome.again
            assert outcome.why
            assert "SECRET" not in outcome.why + repr(at(url))
