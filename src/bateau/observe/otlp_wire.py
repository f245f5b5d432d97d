"""Encode spans as OTLP wants them: an ExportTraceServiceRequest in the wire form of Protocol Buffers.

Called by observe.otlp. Pure.
Source: opentelemetry/proto/collector/trace/v1/trace_service.proto and those that it imports, version 1.

Invariant: every field of a span arrives, in classes that are not of this project. Held by
tests/observe/test_otlp_wire.py.
Refused: OpenTelemetry's SDK with its exporter: six more packages for one message, a queue in memory that silently drops
spans, and the files of opentelemetry-proto, which are also in xds-protos, in a version of 2021.
Refused: OTLP in JSON, which some receivers do not take.
"""

from collections.abc import Iterable, Mapping

from bateau.kit import protobuf_wire as wire
from bateau.observe.spans import Span, Value

# Names of the fields' numbers are those of the .proto files.
_RESOURCE_SPANS, _RESOURCE, _SCOPE_SPANS, _SCOPE, _SPANS = 1, 1, 2, 1, 2
_RESOURCE_ATTRIBUTES, _SCOPE_NAME, _SCOPE_VERSION = 1, 1, 2
_TRACE_ID, _SPAN_ID, _PARENT_SPAN_ID, _NAME, _KIND, _START, _END, _ATTRIBUTES, _STATUS, _FLAGS = (
    *(1, 2, 4, 5, 6, 7, 8, 9),
    *(15, 16),
)
_STATUS_CODE, _STATUS_CODE_ERROR, _KIND_CLIENT = 3, 2, 3
_KEY, _VALUE, _STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _ARRAY_VALUES = 1, 2, 1, 2, 3, 4, 5, 1
_SAMPLED, _HAS_IS_REMOTE, _IS_REMOTE = 0x1, 0x100, 0x200
_PARTIAL_SUCCESS, _REJECTED_SPANS, _ERROR_MESSAGE = 1, 1, 2


def request_of(spans: Iterable[Span], *, resource: Mapping[str, str], scope: tuple[str, str]) -> bytes:
    """Return a request; `scope` is the name and the version of the program that has made the spans."""
    about = wire.block(_SCOPE, wire.text(_SCOPE_NAME, scope[0]) + wire.text(_SCOPE_VERSION, scope[1]))
    of_scope = about + b"".join(wire.block(_SPANS, _span(span)) for span in spans)
    of_resource = wire.block(_RESOURCE, _attributes(_RESOURCE_ATTRIBUTES, resource))
    return wire.block(_RESOURCE_SPANS, of_resource + wire.block(_SCOPE_SPANS, of_scope))


def rejected_in(response: bytes) -> tuple[int, str]:
    """Return how many spans a collector has rejected, and why. A response that cannot be read rejects none."""
    count, why = 0, ""
    try:
        for number, message in wire.fields(response):
            if number != _PARTIAL_SUCCESS or not isinstance(message, bytes):
                continue
            for field, value in wire.fields(message):
                if field == _REJECTED_SPANS and isinstance(value, int):
                    count = value
                elif field == _ERROR_MESSAGE and isinstance(value, bytes):
                    why = value.decode(errors="replace")
    except ValueError:
        return 0, ""
    return count, why


def _span(span: Span) -> bytes:
    has_parent = span.parent_id is not None
    flags = _SAMPLED | _HAS_IS_REMOTE | (_IS_REMOTE if has_parent else 0)
    return b"".join(
        (
            wire.block(_TRACE_ID, span.trace_id),
            wire.block(_SPAN_ID, span.span_id),
            wire.block(_PARENT_SPAN_ID, span.parent_id) if span.parent_id is not None else b"",
            wire.text(_NAME, span.name),
            wire.integer(_KIND, _KIND_CLIENT),
            wire.fixed64(_START, span.began_ns),
            wire.fixed64(_END, span.ended_ns),
            _attributes(_ATTRIBUTES, span.attributes),
            wire.block(_STATUS, wire.integer(_STATUS_CODE, _STATUS_CODE_ERROR)) if span.is_error else b"",
            wire.fixed32(_FLAGS, flags),
        )
    )


def _attributes(field: int, attributes: Mapping[str, Value]) -> bytes:
    return b"".join(
        wire.block(field, wire.text(_KEY, name) + wire.block(_VALUE, _value(value)))
        for name, value in attributes.items()
    )


def _value(value: Value) -> bytes:
    match value:
        case str():
            return wire.text(_STRING, value)
        case bool():
            return wire.integer(_BOOL, int(value))
        case int():
            return wire.integer(_INT, value)
        case float():
            return wire.double(_DOUBLE, value)
        case _:
            values = b"".join(wire.block(_ARRAY_VALUES, wire.text(_STRING, each)) for each in value)
            return wire.block(_ARRAY, values)
