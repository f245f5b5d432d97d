"""Answer requests that are rejected, and log each reason once.

Called by wiring.outside_events and wiring.webhook.
"""

import logging

from bateau.ports.webhook import WebhookAnswer


class Rejections:
    """The rejections of one path. Anyone who reaches the endpoint could fill the log, so a reason is not repeated."""

    def __init__(self, subject: str, logger: logging.Logger) -> None:
        self._logger = logger
        self._subject = subject
        self._last: str | None = None

    def answer(self, status: int, says: str) -> WebhookAnswer:
        """Return the answer to a request that is rejected."""
        if self._last != says:
            self._logger.warning("%s rejected: %s", self._subject, says)
        self._last = says
        return WebhookAnswer(status=status, says=says)

    def end(self) -> None:
        """A request was accepted: the next rejection is logged."""
        self._last = None
