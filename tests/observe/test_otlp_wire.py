"""Spans on the wire, read by classes that protoc's descriptors make."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.kit import protobuf_wire as wire
from bateau.observe.otlp_wire import rejected_in, request_of
from bateau.observe.spans import Span, Value
from observe.collector import attributes_of, decoded, partial_success

SPAN = Span(
    trace_id=bytes(range(16)),
    span_id=bytes(range(8)),
    parent_id=bytes(range(8, 16)),
    name="chat é",
    began_ns=1_800_000_000_123_000_000,
    ended_ns=1_800_000_001_623_000_000,
    is_error=True,
    attributes={
        "text": "é\n",
        "yes": True,
        "no": False,
        "count": 2**40,
        "below": -3,
        "time": 0.25,
        "words": ["a", "b"],
    },
)


def test_every_field_of_a_span_arrives() -> None:
    tree = decoded(request_of([SPAN], resource={"service.name": "bateau"}, scope=("bateau", "1.2")))
    ((resource,), (scope,)) = (tree["resource_spans"], tree["resource_spans"][0]["scope_spans"])
    assert attributes_of(resource["resource"]) == {"service.name": "bateau"}
    assert scope["scope"] == {"name": "bateau", "version": "1.2"}
    (span,) = scope["spans"]
    assert repr(attributes_of(span)) == repr(SPAN.attributes)  # 1 is not true
    del span["attributes"]
    assert span == {
        "trace_id": base64.b64encode(SPAN.trace_id).decode(),
        "span_id": base64.b64encode(SPAN.span_id).decode(),
        "parent_span_id": base64.b64encode(bytes(range(8, 16))).decode(),
        "name": "chat é",
        "kind": "SPAN_KIND_CLIENT",
        "start_time_unix_nano": "1800000000123000000",
        "end_time_unix_nano": "1800000001623000000",
        "status": {"code": "STATUS_CODE_ERROR"},
        "flags": 0x301,
    }


def test_a_span_without_a_parent_and_without_an_error_says_nothing_of_them() -> None:
    span = Span(
        trace_id=SPAN.trace_id, span_id=SPAN.span_id, parent_id=None, name="x", began_ns=1, ended_ns=2, is_error=False,
        attributes={},
    )  # fmt: skip
    (found,) = decoded(request_of([span], resource={}, scope=("b", "1")))["resource_spans"][0]["scope_spans"][0][
        "spans"
    ]
    assert "parent_span_id" not in found
    assert "status" not in found
    assert found["flags"] == 0x101


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.booleans(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1),
        ),
        min_size=1,
    )
)
def test_every_attribute_arrives_as_it_is(attributes: dict[str, Value]) -> None:
    span = Span(
        trace_id=b"t" * 16, span_id=b"s" * 8, parent_id=None, name="", began_ns=0, ended_ns=0, is_error=False,
        attributes=attributes,
    )  # fmt: skip
    tree = decoded(request_of([span], resource={}, scope=("", "")), exactly=False)
    assert attributes_of(tree["resource_spans"][0]["scope_spans"][0]["spans"][0]) == attributes


def test_what_utf_8_cannot_write_is_replaced() -> None:
    assert wire.text(1, "a\ud800") == wire.text(1, "a?")


def test_rejected_spans_are_read_from_the_answer() -> None:
    assert rejected_in(partial_success(3, "too many é")) == (3, "too many é")
    assert rejected_in(b"") == (0, "")
    for damaged in (b"\xff", b"\x0a\x7f", b"\x0b", b"\x0a\x02\x08\x80", b"text"):
        assert rejected_in(damaged) == (0, "")


@given(st.binary(max_size=40))
def test_no_answer_ends_the_sender(answer: bytes) -> None:
    count, why = rejected_in(answer)
    assert count >= 0
    assert isinstance(why, str)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 2**32, 2**63 - 1, -1, -(2**63)])
def test_numbers_are_read_as_they_were_written(number: int) -> None:
    ((field, value),) = wire.fields(wire.integer(5, number))
    assert (field, value) == (5, number % 2**64)
