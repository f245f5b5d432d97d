"""Turn a request of the ledger into a span, by OpenTelemetry's conventions for generative AI.

Called by observe.otlp, observe.otlp_wire and wiring.spans. Pure.

Sources: Semantic conventions for generative client AI spans (`gen_ai.*`, `error.type`, `server.*`); HTTP spans
(`http.*`, `url.path`); W3C Trace Context. The conventions have one kind of span for a call to a model, of kind CLIENT.

Invariant: the same line gives the same span, with the same ids, so that one that is sent twice can be recognised. A
number that is not known is left out, and is not 0. No attribute contains a part of a prompt, of an answer or of a
secret, as the line has none. Held by tests/observe/test_spans.py.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from uuid import UUID

from bateau.domain.used import COUNTING, Used

Value = str | bool | int | float | Sequence[str]

PROVIDER: Final = "bateau"
_OPERATIONS: Final = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    # The conventions have no names for these.
    "/v1/rerank": "rerank",
    "/v1/reranking": "rerank",
    **dict.fromkeys(COUNTING, "count_tokens"),
}
_OTHER_OPERATION: Final = "other"  # a path that is the client's text
_TRACEPARENT: Final = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = 1
_CLIENT_LEFT: Final = "client_disconnected"
_REPLICA_BROKE: Final = "replica_disconnected"
_OTHER: Final = "_OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The span of the client that sent a request."""

    trace_id: bytes
    span_id: bytes
    sampled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One request. Times are in nanoseconds since the epoch; `parent_id` is None if the trace begins here."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    name: str
    began_ns: int
    ended_ns: int
    is_error: bool
    attributes: Mapping[str, Value]


def parent_of(used: Used) -> Parent | None:
    """Return the span of the client; None if it has none, or one that cannot be."""
    found = _TRACEPARENT.fullmatch(used.traceparent or "")
    if not found:
        return None
    trace_id, span_id, flags = (bytes.fromhex(part) for part in found.groups())
    if not any(trace_id) or not any(span_id):
        return None
    return Parent(trace_id=trace_id, span_id=span_id, sampled=bool(flags[0] & _SAMPLED))


def span_of(used: Used, *, owner: str | None, server: tuple[str, int]) -> Span:
    """Return the span of a request to a server; the trace of one without a parent has the id of the request."""
    parent = parent_of(used)
    digest = hashlib.blake2b(f"{used.id} {used.at:.3f}".encode(errors="replace"), digest_size=24).digest()
    began_ns = round(used.at * 1000) * 10**6
    error = _error(used)
    operation = _OPERATIONS.get(used.path, _OTHER_OPERATION)
    return Span(
        trace_id=parent.trace_id if parent else _as_trace_id(used.id) or digest[:16],
        span_id=digest[16:],
        parent_id=parent.span_id if parent else None,
        name=f"{operation} {used.model}" if used.model else operation,
        began_ns=began_ns,
        ended_ns=began_ns + (used.duration_ms or 0) * 10**6,
        is_error=error is not None,
        attributes={
            name: value
            for name, value in _attributes(used, operation, error, owner, server).items()
            if value is not None
        },
    )


def _attributes(
    used: Used, operation: str, error: str | None, owner: str | None, server: tuple[str, int]
) -> Mapping[str, Value | None]:
    streamed = used.events is not None
    first_byte = _seconds(used.first_byte_ms)
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": used.model,
        "gen_ai.request.stream": streamed or None,
        "gen_ai.response.finish_reasons": [used.stop_reason] if used.stop_reason else None,
        "gen_ai.response.time_to_first_chunk": first_byte if streamed else None,
        "gen_ai.usage.input_tokens": used.tokens_in,
        "gen_ai.usage.cache_read.input_tokens": used.tokens_cached,
        "gen_ai.usage.output_tokens": used.tokens_out,
        "server.address": server[0],
        "server.port": server[1],
        "error.type": error,
        "http.request.method": used.method or None,
        "http.response.status_code": used.status or None,
        "url.path": used.path,
        "bateau.request.id": used.id,
        "bateau.key": used.key,
        "bateau.owner": owner,
        "bateau.replica": used.replica,
        "bateau.queue_time": _seconds(used.queue_ms),
        "bateau.time_to_first_byte": first_byte,
        "bateau.client_disconnected": used.client_gone or None,
    }


def _error(used: Used) -> str | None:
    """Return why a request failed, None if it did not: a client may leave an answer that it has seen enough of."""
    if used.status >= HTTPStatus.BAD_REQUEST:
        return str(used.status)
    if used.broken:
        return _REPLICA_BROKE
    if used.status == 0:
        return _CLIENT_LEFT if used.client_gone else _OTHER
    return None


def _as_trace_id(request: str) -> bytes | None:
    """Return the id of a request as that of a trace: Envoy's are UUIDs."""
    try:
        found = UUID(request).bytes
    except ValueError:
        return None
    return found if any(found) else None


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
