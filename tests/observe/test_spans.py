"""A request of the ledger as a span, by the conventions for generative AI."""

import json
from dataclasses import replace

import pytest

from bateau.domain.used import Used
from bateau.observe.spans import parent_of, span_of
from bateau.store.ledger import used_of

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CHAT = Used(
    at=1_800_000_000.123,
    id="8b3f5c5e-7a0c-4d5b-9c0e-2f1d3a4b5c6d",
    path="/v1/chat/completions",
    method="POST",
    status=200,
    key="ci",
    model="chat",
    replica="model.chat.0",
    tokens_in=30,
    tokens_cached=20,
    tokens_out=4,
    duration_ms=1500,
    first_byte_ms=250,
    events=6,
    stop_reason="stop",
    queue_ms=40,
)


def test_a_request_has_the_attributes_of_the_conventions() -> None:
    span = span_of(CHAT, owner="ada", server=("127.0.0.1", 8080))
    assert (span.name, span.is_error, span.parent_id) == ("chat chat", False, None)
    assert (span.began_ns, span.ended_ns) == (1_800_000_000_123_000_000, 1_800_000_001_623_000_000)
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "bateau",
        "gen_ai.request.model": "chat",
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "gen_ai.usage.output_tokens": 4,
        "server.address": "127.0.0.1",
        "server.port": 8080,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
        "bateau.request.id": CHAT.id,
        "bateau.key": "ci",
        "bateau.owner": "ada",
        "bateau.replica": "model.chat.0",
        "bateau.queue_time": 0.04,
        "bateau.time_to_first_byte": 0.25,
    }


def test_a_number_that_is_not_known_is_left_out() -> None:
    span = span_of(Used(at=0.0, id="r", path="/v1/embeddings", status=200), owner=None, server=("::1", 1))
    assert set(span.attributes) == {
        *("gen_ai.operation.name", "gen_ai.provider.name", "server.address", "server.port"),
        *("http.response.status_code", "url.path", "bateau.request.id"),
    }
    assert span.name == "embeddings"
    zero = span_of(replace(CHAT, tokens_out=0), owner=None, server=("::1", 1))
    assert zero.attributes["gen_ai.usage.output_tokens"] == 0


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/messages", "chat"),
        ("/v1/responses", "chat"),
        ("/v1/completions", "text_completion"),
        ("/v1/rerank", "rerank"),
        ("/v1/messages/count_tokens", "count_tokens"),
        ("/v1/whatever-a-client-writes", "other"),
    ],
)
def test_an_operation_is_a_word_of_a_fixed_list(path: str, operation: str) -> None:
    assert span_of(replace(CHAT, path=path, model=None), owner=None, server=("a", 1)).name == operation


@pytest.mark.parametrize(
    ("used", "error"),
    [
        (CHAT, None),
        (replace(CHAT, status=429), "429"),
        (replace(CHAT, status=503), "503"),
        (replace(CHAT, status=0, client_gone=True), "client_disconnected"),
        (replace(CHAT, status=0), "_OTHER"),
        (replace(CHAT, broken=True), "replica_disconnected"),
        (replace(CHAT, client_gone=True), None),
    ],
)
def test_a_request_that_failed_is_an_error_of_a_kind(used: Used, error: str | None) -> None:
    span = span_of(used, owner=None, server=("a", 1))
    assert (span.is_error, span.attributes.get("error.type")) == (error is not None, error)
    assert span.attributes.get("bateau.client_disconnected") == (True if used.client_gone else None)


def test_a_span_belongs_to_the_trace_of_its_client() -> None:
    span = span_of(replace(CHAT, traceparent=f"00-{TRACE}-{PARENT}-01"), owner=None, server=("a", 1))
    assert span.trace_id.hex() == TRACE
    assert span.parent_id is not None
    assert span.parent_id.hex() == PARENT


@pytest.mark.parametrize(
    "wrong",
    [
        *(None, "", "x", f"01-{TRACE}-{PARENT}-01", f"00-{TRACE.upper()}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-x"),
        *(f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01"),
    ],
)
def test_without_one_the_trace_has_the_id_of_the_request(wrong: str | None) -> None:
    span = span_of(replace(CHAT, traceparent=wrong), owner=None, server=("a", 1))
    assert (span.trace_id.hex(), span.parent_id) == (CHAT.id.replace("-", ""), None)


def test_a_request_whose_id_is_no_uuid_has_a_trace_as_well() -> None:
    for request in ("", "of a client", "0" * 32, "\ud800"):
        span = span_of(replace(CHAT, id=request), owner=None, server=("a", 1))
        assert len(span.trace_id) == 16
        assert any(span.trace_id)


def test_the_same_line_gives_the_same_ids_and_another_one_others() -> None:
    one, same, other = (
        span_of(used, owner=owner, server=("a", 1))
        for used, owner in ((CHAT, "ada"), (CHAT, "bob"), (replace(CHAT, at=CHAT.at + 0.001), "ada"))
    )
    assert (one.trace_id, one.span_id) == (same.trace_id, same.span_id)
    assert one.span_id != other.span_id
    assert len(one.span_id) == 8


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True)])
def test_a_client_says_whether_it_records_its_trace(flags: str, sampled: bool) -> None:
    parent = parent_of(replace(CHAT, traceparent=f"00-{TRACE}-{PARENT}-{flags}"))
    assert parent is not None
    assert parent.sampled is sampled


def test_nothing_else_of_a_line_becomes_an_attribute() -> None:
    line = {"v": "1", "time": "1.0", "id": "r", "path": "/v1/completions", "prompt": "PRIVATE", "details": "PRIVATE"}
    used = used_of(json.dumps(line).encode())
    assert used is not None
    assert "PRIVATE" not in repr(span_of(used, owner=None, server=("a", 1)))
