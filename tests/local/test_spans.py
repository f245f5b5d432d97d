"""Spans and counters of a real instance: each request once, also if the control plane is killed."""

import asyncio
import json
import urllib.request
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from local.stack import Stack, chat_body
from local.test_keys import create
from observe.collector import Collector, attributes_of, collector

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def ask(stack: Stack, secret: str, *, stream: bool = False) -> dict[str, Any]:
    """Send a request of a trace, and return the usage that its answer has."""
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {secret}",
        "traceparent": f"00-{TRACE}-{PARENT}-01",
    }
    request = urllib.request.Request(
        f"{stack.url}/v1/chat/completions", json.dumps(chat_body(**more)).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    return json.loads(text.split("data: ")[-2] if stream else text)["usage"]


def counted(stack: Stack, secret: str, family: str) -> float | None:
    """Return the sum of a counter over its series, None where the page does not have it."""
    request = urllib.request.Request(stack.url + "/metrics", headers={"authorization": f"Bearer {secret}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        page = answer.read().decode()
    found = [s for f in text_string_to_metric_families(page) for s in f.samples if s.name == family]
    return sum(sample.value for sample in found) if found else None


async def eventually(condition: Callable[[], Any], *, within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while True:
            if await asyncio.to_thread(condition):
                return
            await asyncio.sleep(0.1)


async def test_each_request_is_one_span_and_counted_once_if_the_control_plane_is_killed(stack: Stack) -> None:
    async with collector() as other:
        await asyncio.to_thread(_live, stack, other, asyncio.get_running_loop())


def _live(stack: Stack, other: Collector, loop: asyncio.AbstractEventLoop) -> None:
    """Use an instance, in a thread, so that the collector answers meanwhile."""

    def run(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(60)

    variables: dict[str, Any] = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": other.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=TOP-SECRET",
    }
    up = ("up", "-C", str(stack.specs), "--detach", "--listen", f"127.0.0.1:{stack.port}")
    secret = create(stack, "ci", "--owner", "search")
    assert stack.bateau(*up, **variables).code == 0
    used = [ask(stack, secret), ask(stack, secret, stream=True)]
    run(eventually(lambda: len(other.spans) == 2))
    for span, usage in zip(other.spans, used, strict=True):
        found = attributes_of(span)
        assert span["name"] == "chat chat"
        assert (found["bateau.key"], found["bateau.owner"]) == ("ci", "search")
        assert found["bateau.replica"] == "model.chat.0"
        assert found["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
        assert found["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
        assert found["gen_ai.response.finish_reasons"] in (["length"], ["stop"])
        assert found["server.port"] == stack.port
        assert 0 <= found["bateau.time_to_first_byte"] <= 60
    assert other.asked[0]["api-key"] == "TOP-SECRET"
    # The collector goes, then the control plane is killed, and then the collector is back.
    run(other.close())
    used += [ask(stack, secret), ask(stack, secret)]
    run(eventually(lambda: counted(stack, secret, "bateau_usage_requests_total") == 4))
    run(eventually(lambda: (counted(stack, secret, "bateau_span_exports_failed_total") or 0) > 0))
    stack.kill_control()
    used += [ask(stack, secret)]
    run(other.open())
    assert stack.bateau(*up, **variables).code == 0
    run(eventually(lambda: len(other.spans) == 5))
    run(eventually(lambda: counted(stack, secret, "bateau_usage_requests_total") == 5))
    for family, name in (("in", "prompt_tokens"), ("out", "completion_tokens")):
        assert counted(stack, secret, f"bateau_usage_tokens_{family}_total") == sum(each[name] for each in used)
    assert counted(stack, secret, "bateau_spans_total") == 3  # since the control plane was started
    assert len({span["span_id"] for span in other.spans}) == 5
    assert len({(span["trace_id"], span["parent_span_id"]) for span in other.spans}) == 1
    # No file, no argument and no environment of a replica has the secret of the collector.
    assert not [path for path in stack.base.rglob("*") if path.is_file() and b"TOP-SECRET" in path.read_bytes()]
    replicas = [process for process in stack.processes() if "BATEAU_REPLICA" in process.environ()]
    assert len(replicas) > 1
    assert not [process for process in replicas if "TOP-SECRET" in repr(process.environ())]
    assert not [process for process in stack.processes() if "TOP-SECRET" in " ".join(process.cmdline())]


def test_an_address_that_cannot_be_used_is_an_error_at_the_start(stack: Stack) -> None:
    variables: dict[str, Any] = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    done = stack.bateau("up", "-C", str(stack.specs), "--detach", **variables)
    assert done.code == 3
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is grpc" in done.err
    assert "OTEL_TRACES_EXPORTER=none" in done.err
    assert "Traceback" not in done.err
