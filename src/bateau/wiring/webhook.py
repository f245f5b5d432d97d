"""Fetch the followed repository when a forge reports a push.

Called by wiring.local. The control API uses it through ports.webhook.

Invariant: without a secret every webhook is rejected; a rejected webhook has no effect. Held by
tests/wiring/test_webhook.py.
Invariant: no log and no response contains the secret or the body. Held by tests/wiring/test_webhook.py.
"""

import logging
from collections.abc import Mapping
from typing import Final

from bateau.ports.webhook import WebhookAnswer
from bateau.sources.git import Refused, Unheeded, received
from bateau.sources.git.webhook import BODY_BYTES_MAX
from bateau.wiring.repository import FollowedRepository

logger = logging.getLogger(__name__)

SECRET_VARIABLE: Final = "BATEAU_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable that holds it
_DONE, _ACCEPTED = 200, 202


class GitWebhook:
    """The webhook of one repository. Satisfies `ports.webhook.Webhook`."""

    def __init__(self, repository: FollowedRepository, *, secret: str | None) -> None:
        self.body_bytes_max = BODY_BYTES_MAX
        self._repository = repository
        self._secret = secret or ""
        self._refused_for: str | None = None

    def received(self, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Fetch the repository at once if the webhook is genuine and reports a push of the followed branch."""
        found = received(headers, body, secret=self._secret)
        if isinstance(found, Refused):
            # Logged once and not each time: anyone who reaches the endpoint could fill the log.
            if self._refused_for != found.says:
                logger.warning("a webhook was rejected: %s", found.says)
            self._refused_for = found.says
            return WebhookAnswer(status=found.status, says=found.says)
        self._refused_for = None
        if isinstance(found, Unheeded):
            return WebhookAnswer(status=_DONE, says=f"nothing to do for the event {found.event}")
        if not self._repository.heed(found):
            return WebhookAnswer(status=_DONE, says=f"{found.name} was pushed, but is not followed")
        logger.info("a webhook reports a push to %s", found.name)
        return WebhookAnswer(status=_ACCEPTED, says=f"{found.name} was pushed and is fetched")
