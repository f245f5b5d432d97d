"""Who is told of a forge's delivery. Satisfied by wiring.webhook.GitWebhook; used by the control API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAnswer:
    """What the forge is answered, with an HTTP status: 202 where the repository is looked at because of it."""

    status: int
    says: str


class Webhook(Protocol):
    """The place where deliveries are believed or not."""

    @property
    def body_bytes_max(self) -> int:
        """How long a body may be; of a longer one nothing is handed over."""
        ...

    def received(self, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Take a delivery as it came, and say what came of it. Never raises."""
        ...
