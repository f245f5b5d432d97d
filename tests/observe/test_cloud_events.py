"""CloudEvents with a signature: which are recorded, as what, and which are rejected."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from bateau.domain.timeline import Told, service_of
from bateau.observe.cloud_events import EVENTS_MAX, PATIENCE_S, NotTaken, received, signature

SECRET = "a secret"  # noqa: S105 - of this test
NOW = 1_800_000_000.0
BUILT: Mapping[str, Any] = {
    "specversion": "1.0",
    "id": "7",
    "source": "https://ci.example.org/acme",
    "type": "dev.cdevents.pipelinerun.finished.0.2.0",
    "time": "2027-01-15T07:59:50Z",
    "subject": "model/chat",
    "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01",
    "data": {
        "commit": "c0ffee",
        "actor": "ada",
        "link": "https://ci.example.org/7",
        "outcome": "failure",
        "says": "2 of 40 tests failed",
    },
}


def headers(body: bytes, *, at: float = NOW, secret: str = SECRET, kind: str = "cloudevents") -> dict[str, str]:
    timestamp = str(int(at))
    return {
        "Content-Type": f"application/{kind}+json; charset=utf-8",
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": timestamp,
        "Webhook-Signature": f"v1,bm90aGluZw== {signature(secret, 'msg_1', timestamp, body)}",
    }


def take(tree: object, *, secret: str = SECRET, kind: str = "cloudevents") -> list[Told] | NotTaken:
    body = json.dumps(tree).encode()
    found = received(headers(body, secret=secret, kind=kind), body, secret=secret, now=NOW)
    return found if isinstance(found, NotTaken) else list(found)


def one(tree: Mapping[str, Any]) -> Told:
    found = take(tree)
    assert not isinstance(found, NotTaken), found
    (told,) = found
    return told


def test_an_event_has_its_service_commit_trace_actor_origin_and_link() -> None:
    told = one(BUILT)
    assert told.event.fields == {
        "commit": "c0ffee",
        "actor": "ada",
        "link": "https://ci.example.org/7",
        "trace": "ab" * 16,
        "service": "model/chat",
        "source": "https://ci.example.org/acme",
    }
    assert (told.event.reason, told.event.says, told.event.warning) == (
        "PipelinerunFinished",
        "2 of 40 tests failed",
        True,
    )
    assert told.event.when_s == NOW - 10
    assert told.uid == "https://ci.example.org/acme 7"


def test_a_batch_is_recorded_whole_or_not_at_all() -> None:
    found = take([BUILT, {**BUILT, "id": "8"}], kind="cloudevents-batch")
    assert not isinstance(found, NotTaken)
    assert [told.uid[-1] for told in found] == ["7", "8"]
    assert take([BUILT, {**BUILT, "id": ""}], kind="cloudevents-batch") == NotTaken(
        says="event 2: id is missing", status=400
    )
    many = take([BUILT] * (EVENTS_MAX + 1), kind="cloudevents-batch")
    assert isinstance(many, NotTaken)
    assert many.status == 413


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"specversion": "0.3"}, "event 1: specversion is not 1.0"),
        ({"source": 7}, "event 1: source is missing"),
        ({"type": ""}, "event 1: type is missing"),
        ({"time": "yesterday"}, "event 1: time is not a time as in 2026-01-31T12:00:00Z"),
        ({"time": "2026-01-31T12:00:00"}, "event 1: time is not a time as in 2026-01-31T12:00:00Z"),
    ],
)
def test_a_wrong_event_is_rejected_with_its_error(change: Mapping[str, Any], says: str) -> None:
    assert take({**BUILT, **change}) == NotTaken(says=says, status=400)


@pytest.mark.parametrize("tree", [7, "text", None, [7]])
def test_anything_but_an_object_is_rejected(tree: object) -> None:
    assert take(tree) == NotTaken(says="event 1: it is not an object", status=400)


def test_data_of_any_form_is_accepted_and_ignored() -> None:
    for data in ("text", 7, None, ["a"], {"commit": {"id": "c0ffee"}, "link": 7}):
        assert one({**BUILT, "data": data}).event.fields.keys() == {"trace", "service", "source"}


def test_no_event_is_of_the_future_and_none_without_a_time_is_of_1970() -> None:
    assert one({**BUILT, "time": "2099-01-01T00:00:00Z"}).event.when_s == NOW
    assert one({name: value for name, value in BUILT.items() if name != "time"}).event.when_s == NOW


def test_a_link_that_is_a_script_is_left_out() -> None:
    told = one({**BUILT, "data": {"link": "javascript:fetch('//evil.example')"}})
    assert "link" not in told.event.fields


def test_a_subject_that_is_not_a_key_is_no_service() -> None:
    assert service_of(one({**BUILT, "subject": "nightly"}).event) is None


def test_a_forged_event_is_rejected_before_it_is_parsed() -> None:
    not_json = b'{"specversion": '
    assert received(headers(not_json, secret="a guess"), not_json, secret=SECRET, now=NOW) == NotTaken(
        says="the signature is wrong", status=401
    )
    body = json.dumps(BUILT).encode()
    signed = headers(body)
    changed = body.replace(b"failure", b"success")
    assert received(signed, changed, secret=SECRET, now=NOW) == NotTaken(says="the signature is wrong", status=401)
    for name in ("Webhook-Id", "Webhook-Timestamp"):
        other = received({**signed, name: str(int(NOW) - 1)}, body, secret=SECRET, now=NOW)
        assert other == NotTaken(says="the signature is wrong", status=401), name
    for name in ("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"):
        fewer = {key: value for key, value in signed.items() if key != name}
        found = received(fewer, body, secret=SECRET, now=NOW)
        assert isinstance(found, NotTaken)
        assert found.status == 401, name


@pytest.mark.parametrize("at", [NOW - PATIENCE_S - 1, NOW + PATIENCE_S + 1])
def test_a_signature_is_good_for_five_minutes(at: float) -> None:
    body = json.dumps(BUILT).encode()
    assert received(headers(body, at=at), body, secret=SECRET, now=NOW) == NotTaken(
        says="the timestamp differs from the clock of this machine by more than 5 minutes", status=401
    )
    within = NOW + (at - NOW) * 0.9
    assert not isinstance(received(headers(body, at=within), body, secret=SECRET, now=NOW), NotTaken)


def test_a_timestamp_that_is_no_number_is_rejected() -> None:
    body = json.dumps(BUILT).encode()
    for timestamp in ("now", "-1", "1e9", "٣", "9" * 400, ""):
        signed = {**headers(body), "Webhook-Timestamp": timestamp}
        signed["Webhook-Signature"] = signature(SECRET, "msg_1", timestamp, body)
        found = received(signed, body, secret=SECRET, now=NOW)
        assert isinstance(found, NotTaken)
        assert found.status == 401


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification."""
    body = b'{"test": 2432232314}'
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the specification
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body) == expected


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_an_empty_secret_lets_nobody_in(secret: str) -> None:
    body = json.dumps(BUILT).encode()
    assert received(headers(body, secret=secret), body, secret=secret, now=NOW) == NotTaken(
        says="no secret is set, so all events are rejected", status=503
    )


def test_a_secret_that_only_looks_like_base64_is_used_as_it_is() -> None:
    assert not isinstance(take(BUILT, secret="whsec_not base64!"), NotTaken)
    assert not isinstance(take(BUILT, secret="whsec_" + base64.b64encode(b"0123456789abcdef").decode()), NotTaken)


def test_binary_mode_is_rejected() -> None:
    body = b'{"commit": "c0ffee"}'
    binary = {**headers(body), "Content-Type": "application/json", "ce-id": "7", "ce-type": "t", "ce-source": "s"}
    found = received(binary, body, secret=SECRET, now=NOW)
    assert isinstance(found, NotTaken)
    assert found.status == 415


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"a": NaN'])
def test_a_body_that_is_not_json_is_rejected(body: bytes) -> None:
    assert received(headers(body), body, secret=SECRET, now=NOW) == NotTaken(says="the body is not JSON", status=400)
