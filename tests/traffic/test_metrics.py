"""The page for Prometheus, made from a real Envoy's counters: what it says of requests that were really sent."""

import asyncio
import math
from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from bateau.domain.endpoint import Backend
from bateau.domain.measures import TIME_EDGES_S
from bateau.observe.metrics import Page, add_envoy, add_llamacpp
from traffic.gateway import Gateway, eventually, free_port, model
from traffic.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

DURATION = "gen_ai_server_request_duration_seconds"
FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"  # noqa: S105 - a token of text
FIRST_BYTE = "bateau_time_to_first_byte_seconds"
LLAMACPP = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 12
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 1
# TYPE llamacpp:something_new counter
llamacpp:something_new 5
"""


async def _page(gateway: Gateway, **more: str) -> str:
    page = Page()
    text = await gateway.admin.text("/stats/prometheus")
    assert text is not None
    add_envoy(page, text)
    for replica, counters in more.items():
        add_llamacpp(page, counters, model="chat", replica=replica)
    return page.text()


async def _after_requests(gateway: Gateway, first: Upstream) -> str:
    """Send three valid requests, one to an unknown model and one that is not JSON, and wait until all are counted."""
    await gateway.publish(model("chat", first.endpoint()))
    for name in ("chat", "chat", "chat", "nobody"):
        await gateway.chat(name)
    await gateway.ask("POST", "/v1/chat/completions", data=b"{", headers={"content-type": "application/json"})

    async def counted() -> str | None:
        page = await _page(gateway, a=LLAMACPP, b=LLAMACPP)
        # Envoy merges its workers' histograms every few seconds, and the native filter counts twice a second.
        counts = [sum(s.value for s in _samples(page, f"{family}_count")) for family in (DURATION, FIRST_TOKEN)]
        return page if counts == [5, 3] else None

    return await eventually(counted)


async def test_the_page_is_as_prometheus_reads_it(gateway: Gateway, first: Upstream) -> None:
    page = await _after_requests(gateway, first)
    families = list(text_string_to_metric_families(page))
    for family in families:
        assert family.documentation, family.name
        assert family.type != "unknown", family.name
    for word in ("HELP", "TYPE"):
        named = [line.split()[2] for line in page.splitlines() if line.startswith(f"# {word} ")]
        assert sorted(named) == sorted(set(named))
    assert {family.name for family in families} >= {"bateau_requests", DURATION, FIRST_TOKEN}

    counted = {
        (s.labels["gen_ai_request_model"], s.labels["http_response_status_code"]): s.value
        for s in _samples(page, "bateau_requests_total")
    }
    assert counted == {("chat", "200"): 3, ("-unknown-", "404"): 1, ("-invalid-", "400"): 1}

    for family in (DURATION, FIRST_TOKEN):
        buckets = [s for s in _samples(page, f"{family}_bucket") if s.labels["gen_ai_request_model"] == "chat"]
        assert [float(s.labels["le"]) for s in buckets] == [*TIME_EDGES_S, math.inf]
        values = [s.value for s in buckets]
        assert values == sorted(values), "buckets are cumulative"
        (count,) = (s.value for s in _samples(page, f"{family}_count") if s.labels["gen_ai_request_model"] == "chat")
        (total,) = (s.value for s in _samples(page, f"{family}_sum") if s.labels["gen_ai_request_model"] == "chat")
        assert values[-1] == count == 3
        assert 0 <= total < 10, "seconds, not milliseconds"

    assert {s.labels["gen_ai_request_model"] for s in _samples(page, f"{FIRST_TOKEN}_count")} == {"chat"}
    replicas = {s.labels["replica"]: s.value for s in _samples(page, "bateau_model_prompt_tokens_total")}
    assert replicas == {"a": 12, "b": 12}
    assert "something_new" not in page
    upstream = {s.labels["cluster"]: s.value for s in _samples(page, "envoy_cluster_upstream_rq_total")}
    assert upstream["model/chat"] == 3


async def test_the_latency_of_an_app_is_the_time_to_its_first_byte(gateway: Gateway, first: Upstream) -> None:
    """A stream may last for hours. Errors, and requests to models, have no such latency."""

    async def streamed(request: web.Request) -> web.StreamResponse:
        if request.path == "/fails":
            return web.Response(status=500)
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"begin")
        await asyncio.sleep(1)
        await answer.write(b"end")
        return answer

    port = free_port()
    app = Backend(
        service="app/shop",
        name="shop",
        protocol="http",
        endpoints=(first.endpoint(),),
        listen_port=port,
        port_name="main",
    )
    await gateway.publish(model("chat", first.endpoint()), app)
    await gateway.chat("chat")
    first.answer = streamed
    for path in ("/", "/", "/fails"):
        await gateway.ask("GET", f"http://127.0.0.1:{port}{path}")

    async def counted() -> dict[tuple[str, str], float] | None:
        page = await _page(gateway)
        found = {
            (family, s.labels["gen_ai_request_model"]): s.value
            for family in (DURATION, FIRST_BYTE)
            for s in _samples(page, f"{family}_count")
        }
        return found if found.get((DURATION, "app/shop/main")) == 3 else None

    counts = await eventually(counted)
    assert {label: count for (family, label), count in counts.items() if family == FIRST_BYTE} == {"app/shop/main": 2}
    page = await _page(gateway)
    sums = {
        family: s.value
        for family in (DURATION, FIRST_BYTE)
        for s in _samples(page, f"{family}_sum")
        if s.labels["gen_ai_request_model"] == "app/shop/main"
    }
    assert sums[DURATION] - sums[FIRST_BYTE] > 1, "two answers went on for a second each"


async def test_strangers_cannot_make_series(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    for number in range(20):
        await gateway.chat(f"made-up-{number}")
    await gateway.ask("GET", "/made/up")
    page = await _page(gateway)
    assert "made-up" not in page
    assert "made/up" not in page


async def test_labels_are_escaped() -> None:
    page = Page()
    page.add("x", {"a": 'quote " backslash \\ newline \n'}, 1, kind="gauge", says="A gauge.")
    (sample,) = _samples(page.text(), "x")
    assert sample.labels == {"a": 'quote " backslash \\ newline \n'}


def _samples(page: str, name: str) -> list[Any]:
    families: Iterable[Any] = text_string_to_metric_families(page)
    return [sample for family in families for sample in family.samples if sample.name == name]
