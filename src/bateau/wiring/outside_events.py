"""Record the events that other systems send in the timeline.

Called by wiring.story. The control API uses it through ports.webhook.

Invariant: without a secret every event is rejected; a rejected request has no effect. Held by
tests/wiring/test_outside_events.py.
Invariant: no log and no response contains the secret or the body. Held by tests/wiring/test_outside_events.py.
"""

import logging
from collections.abc import Mapping
from typing import Final

from bateau.observe.cloud_events import BODY_BYTES_MAX, NotTaken, received
from bateau.ports.clock import Clock
from bateau.ports.webhook import WebhookAnswer
from bateau.store.timeline import Timeline
from bateau.wiring.rejections import Rejections

logger = logging.getLogger(__name__)

SECRET_VARIABLE: Final = "BATEAU_EVENTS_SECRET"  # noqa: S105 - the name of the variable that holds it
_ACCEPTED, _NO_TIMELINE = 202, 503


class OutsideEvents:
    """The events of other systems. Satisfies `ports.webhook.Webhook`."""

    def __init__(self, timeline: Timeline | None, clock: Clock, *, secret: str | None) -> None:
        self.body_bytes_max = BODY_BYTES_MAX
        self._timeline = timeline
        self._clock = clock
        self._secret = secret or ""
        self._rejections = Rejections("events were", logger)

    def received(self, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Record the events of a genuine request."""
        found = received(headers, body, secret=self._secret, now=self._clock.wall())
        if isinstance(found, NotTaken):
            return self._rejections.answer(found.status, found.says)
        self._rejections.end()
        if self._timeline is None:
            return WebhookAnswer(
                status=_NO_TIMELINE, says="the timeline cannot be opened; `bateau logs control` says why"
            )
        for each in found:
            self._timeline.emit(each.event, uid=each.uid)
        return WebhookAnswer(status=_ACCEPTED, says=f"{len(found)} event{'' if len(found) == 1 else 's'} recorded")
