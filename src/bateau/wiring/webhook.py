"""Record what a forge reports in the timeline, and fetch the followed repository when it was pushed.

Called by wiring.story. The control API uses it through ports.webhook.

Invariant: without a secret every webhook is rejected; a rejected webhook has no effect. Held by
tests/wiring/test_webhook.py.
Invariant: no log and no response contains the secret or the body. Held by tests/wiring/test_webhook.py.
"""

import logging
from collections.abc import Mapping
from typing import Final

from bateau.ports.clock import Clock
from bateau.ports.webhook import WebhookAnswer
from bateau.sources.git import Refused, Unheeded, received
from bateau.sources.git.forge_events import told
from bateau.sources.git.webhook import BODY_BYTES_MAX
from bateau.store.timeline import Timeline
from bateau.wiring.rejections import Rejections
from bateau.wiring.repository import FollowedRepository

logger = logging.getLogger(__name__)

SECRET_VARIABLE: Final = "BATEAU_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable that holds it
_DONE, _ACCEPTED = 200, 202


class GitWebhook:
    """The webhooks of a forge. A push of the followed repository is fetched. Satisfies `ports.webhook.Webhook`."""

    def __init__(
        self,
        repository: FollowedRepository | None,
        *,
        secret: str | None,
        clock: Clock,
        timeline: Timeline | None = None,
    ) -> None:
        self.body_bytes_max = BODY_BYTES_MAX
        self._clock = clock
        self._timeline = timeline
        self._repository = repository
        self._secret = secret or ""
        self._rejections = Rejections("a webhook was", logger)

    def received(self, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Record the event of a genuine webhook, and fetch the repository at once if the followed branch was pushed."""
        found = received(headers, body, secret=self._secret)
        if isinstance(found, Refused):
            return self._rejections.answer(found.status, found.says)
        self._rejections.end()
        event = told(headers, body, now=self._clock.wall())
        if event and self._timeline:
            self._timeline.emit(event.event, uid=event.uid)
        if isinstance(found, Unheeded):
            says = f"the event {found.event} was recorded" if event and self._timeline else None
            return WebhookAnswer(status=_DONE, says=says or f"nothing to do for the event {found.event}")
        if self._repository is None:
            return WebhookAnswer(status=_DONE, says=f"{found.name} was pushed, but no repository is followed")
        if not self._repository.heed(found):
            return WebhookAnswer(status=_DONE, says=f"{found.name} was pushed, but is not followed")
        logger.info("a webhook reports a push to %s", found.name)
        return WebhookAnswer(status=_ACCEPTED, says=f"{found.name} was pushed and is fetched")
