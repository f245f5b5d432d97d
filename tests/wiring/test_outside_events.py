"""Events of other systems at the control plane: a genuine one is in the timeline once, any other has no effect."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bateau.domain.event import Event
from bateau.observe.cloud_events import signature
from bateau.ports.webhook import WebhookAnswer
from bateau.store.timeline import Timeline, TimelineReader
from bateau.testing.clock import ManualClock
from bateau.wiring.outside_events import OutsideEvents

SECRET = "a secret"  # noqa: S105 - of this test
BUILT = {"specversion": "1.0", "id": "7", "source": "ci", "type": "build.finished", "data": {"says": "all is well"}}


class Scene:
    """A timeline and what other systems send to it."""

    def __init__(self, base: Path) -> None:
        self._path = base / "timeline.sqlite"
        self.clock = ManualClock()
        self.timeline = Timeline(self._path)
        self.outside = OutsideEvents(self.timeline, self.clock, secret=SECRET)

    def send(self, tree: object, *, secret: str = SECRET, at: float | None = None) -> WebhookAnswer:
        body = json.dumps(tree).encode()
        timestamp = str(int(self.clock.wall() if at is None else at))
        headers = {
            "content-type": "application/cloudevents+json",
            "webhook-id": "m",
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(secret, "m", timestamp, body),
        }
        return self.outside.received(headers, body)

    def recorded(self) -> list[Event]:
        """Return what was recorded. Nothing is recorded after this."""
        self.timeline.close()
        reader = TimelineReader(self._path)
        entries = reader.entries(service=None, since=-1e12, limit=100)
        reader.close()
        return [entry.event for entry in entries]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.timeline.close()


def test_a_genuine_event_is_recorded(scene: Scene) -> None:
    assert scene.send(BUILT) == WebhookAnswer(status=202, says="1 event recorded")
    (event,) = scene.recorded()
    assert (event.reason, event.says, event.fields) == ("BuildFinished", "all is well", {"source": "ci"})


def test_a_replayed_event_is_recorded_once_and_later_rejected(scene: Scene) -> None:
    sent_at = scene.clock.wall()
    for _ in range(3):
        assert scene.send(BUILT, at=sent_at).status == 202
    scene.clock.advance(301)
    assert scene.send(BUILT, at=sent_at).status == 401
    assert len(scene.recorded()) == 1


def test_a_forged_event_has_no_effect(scene: Scene) -> None:
    assert scene.send(BUILT, secret="a guess") == WebhookAnswer(status=401, says="the signature is wrong")
    assert scene.recorded() == []


def test_half_a_character_is_recorded_as_text_and_loses_no_other_event(scene: Scene) -> None:
    assert scene.send({**BUILT, "id": "\udfff", "data": {"says": "\ud800"}}).status == 202
    assert scene.send({**BUILT, "id": "8"}).status == 202
    assert [event.says for event in scene.recorded()] == ["?", "all is well"]


def test_neither_the_log_nor_an_answer_has_the_secret_or_the_body(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answers = [scene.send({**BUILT, "time": "PRIVATE"}), scene.send("PRIVATE"), scene.send(BUILT, secret="x")]
    answers += [scene.send(BUILT, secret="x"), scene.send(BUILT)]
    texts = [answer.says for answer in answers] + [caplog.text]
    assert not [text for text in texts if SECRET in text or "PRIVATE" in text]
    assert caplog.text.count("the signature is wrong") == 1, "anyone could fill the log"


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_every_event_is_rejected(tmp_path: Path, secret: str | None) -> None:
    scene = Scene(tmp_path)
    scene.outside = OutsideEvents(scene.timeline, scene.clock, secret=secret)
    assert scene.send(BUILT, secret="").status == 503
    assert scene.recorded() == []


def test_without_a_timeline_the_sender_is_told_to_come_again(scene: Scene) -> None:
    scene.outside = OutsideEvents(None, scene.clock, secret=SECRET)
    assert scene.send(BUILT).status == 503
