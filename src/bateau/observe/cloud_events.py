"""Read the events that other systems send, such as CI: CloudEvents with a signature.

Called by observe.alert_webhook and wiring.outside_events. Pure. Sources: CloudEvents 1.0.2, "JSON Event Format"
(structured and batched mode); Standard Webhooks 1.0 (signatures).

Invariant: the body is not parsed before its signature is verified, secrets are compared in constant time, and a
signature is good for `PATIENCE_S`. Held by tests/observe/test_cloud_events.py.
Invariant: of a batch with a wrong event, none is kept. Held by tests/observe/test_cloud_events.py.
Refused: CloudEvents in binary mode. Its attributes are headers, which the signature does not cover.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bateau.domain.event import Event
from bateau.domain.timeline import ACTOR, COMMIT, LINK, REVISION, SERVICE, SOURCE, TRACE, Told, link_fields
from bateau.kit.json_value import JsonObject, is_array, is_object, text_at
from bateau.kit.rfc3339 import seconds_of

BODY_BYTES_MAX: Final = 2**20
PATIENCE_S: Final = 300.0
EVENTS_MAX: Final = 500
_ENCODED: Final = "whsec_"
_TYPES: Final = ("application/cloudevents+json", "application/cloudevents-batch+json")
_BAD: Final = {"failure", "failed", "error", "cancelled", "canceled", "timed_out"}
_VERSION: Final = re.compile(r"v?\d+")
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_DATA: Final = (SERVICE, COMMIT, REVISION, ACTOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """Why events were not taken. `status` is the HTTP status of the answer."""

    says: str
    status: int


def received(headers: Mapping[str, str], body: bytes, *, secret: str, now: float) -> Sequence[Told] | NotTaken:
    """Return the events in a request, or why they are not taken. `now` is in seconds since the epoch.

    >>> received({}, b"{}", secret="", now=0.0)
    NotTaken(says='no secret is set, so all events are rejected', status=503)
    """
    if not _key(secret):
        return NotTaken(says="no secret is set, so all events are rejected", status=503)
    lowered = {name.lower(): value for name, value in headers.items()}
    if says := _forged(lowered, body, secret, now):
        return NotTaken(says=says, status=401)
    kind = lowered.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TYPES:
        return NotTaken(says=f"the content type is not {_TYPES[0]} or {_TYPES[1]}", status=415)
    try:
        tree: object = json.loads(body)
    except (ValueError, RecursionError):
        return NotTaken(says="the body is not JSON", status=400)
    events: Sequence[object] = tree if is_array(tree) else (tree,)
    if len(events) > EVENTS_MAX:
        return NotTaken(says=f"it has {len(events)} events; send at most {EVENTS_MAX} at once", status=413)
    wrong = [f"event {number}: {says}" for number, each in enumerate(events, 1) for says in _wrong(each)]
    if wrong:
        return NotTaken(says="; ".join(wrong[:3]), status=400)
    return [_told(each, now) for each in events if is_object(each)]


def signature(secret: str, identity: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a request, as Standard Webhooks has it: "v1," and an HMAC-SHA256 in base64.

    A secret that begins with "whsec_" is base64.
    """
    signed = f"{identity}.{timestamp}.".encode("utf-8", "surrogateescape") + body
    return "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    if not secret.startswith(_ENCODED):
        return secret.encode("utf-8", "surrogateescape")
    try:
        return base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
    except binascii.Error:
        return secret.encode("utf-8", "surrogateescape")


def _forged(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> str | None:
    identity, timestamp, given = (headers.get(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if identity is None or timestamp is None or given is None:
        return "it needs the headers webhook-id, webhook-timestamp and webhook-signature"
    expected = signature(secret, identity, timestamp, body).encode()
    if not any(hmac.compare_digest(each.encode("utf-8", "surrogateescape"), expected) for each in given.split()):
        return "the signature is wrong"
    at = float(timestamp) if timestamp.isascii() and timestamp.isdecimal() else 0.0
    says = f"the timestamp differs from the clock of this machine by more than {PATIENCE_S / 60:.0f} minutes"
    return None if abs(now - at) <= PATIENCE_S else says


def _wrong(tree: object) -> Iterator[str]:
    if not is_object(tree):
        yield "it is not an object"
        return
    if text_at(tree, "specversion") != "1.0":
        yield "specversion is not 1.0"
    for name in ("id", "source", "type"):
        if not text_at(tree, name):
            yield f"{name} is missing"
    if "time" in tree and seconds_of(text_at(tree, "time")) is None:
        yield "time is not a time as in 2026-01-31T12:00:00Z"


def _told(tree: JsonObject, now: float) -> Told:
    data = tree.get("data")
    found: JsonObject = data if is_object(data) else {}
    source, subject = text_at(tree, "source"), text_at(tree, "subject")
    fields = {name: value for name in _DATA if (value := text_at(found, name) or text_at(tree, name))}
    fields |= link_fields(text_at(found, LINK) or text_at(tree, LINK))
    if trace := _TRACEPARENT.fullmatch(text_at(tree, "traceparent")):
        fields[TRACE] = trace[1]
    if "/" in subject and SERVICE not in fields:
        fields[SERVICE] = subject
    time = seconds_of(text_at(tree, "time")) if "time" in tree else None
    event = Event(
        when_s=now if time is None else min(time, now),
        subject=subject or fields.get(SERVICE) or source,
        reason=_reason(text_at(tree, "type")),
        says=text_at(found, "says") or text_at(found, "message"),
        warning=text_at(found, "outcome").lower() in _BAD,
        fields={**fields, SOURCE: source},
    )
    return Told(event=event, uid=f"{source} {text_at(tree, 'id')}")


def _reason(kind: str) -> str:
    """Return the last two words of a type, without versions, in CamelCase.

    >>> _reason("dev.cdevents.pipelinerun.finished.0.2.0"), _reason("com.example.scan-failed")
    ('PipelinerunFinished', 'ExampleScanFailed')
    """
    words = [word for word in kind.split(".") if not _VERSION.fullmatch(word)][-2:]
    return "".join(part[:1].upper() + part[1:] for word in words for part in _WORD.findall(word)) or "Reported"
