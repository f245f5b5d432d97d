"""The port for webhooks of a forge. Satisfied by wiring.webhook.GitWebhook; used by the control API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAnswer:
    """The response to the forge, with an HTTP status: 202 if the repository is fetched because of it."""

    status: int
    says: str


class Webhook(Protocol):
    """Accepts or rejects webhooks."""

    @property
    def body_bytes_max(self) -> int:
        """The largest body; a longer one is not passed on."""
        ...

    def received(self, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Handle a webhook, and return the response. Never raises."""
        ...
