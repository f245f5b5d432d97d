"""Deliver alerts to a webhook, in the form of Alertmanager's, signed as Standard Webhooks are if there is a secret.

Called by wiring.alert_receivers. Satisfies `ports.alert_receiver.AlertReceiver`.
Sources: Prometheus Alertmanager, `<webhook_config>` (version 4); Standard Webhooks 1.0.

A notice that is sent again, because no answer came, has the same `webhook-id`.
"""

from dataclasses import dataclass, field

from bateau.domain.alert import Notice
from bateau.observe.alert_json import webhook_tree
from bateau.observe.alert_post import encoded, identity, post
from bateau.observe.cloud_events import signature


@dataclass(frozen=True, kw_only=True)
class WebhookReceiver:
    """A webhook."""

    name: str
    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    resend_s: float | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return identity("webhook", self.url)

    async def send(self, notice: Notice, now: float) -> str | None:
        """Deliver a notice once."""
        body = encoded(webhook_tree(notice, receiver=self.name))
        headers = {"webhook-id": notice.id, "webhook-timestamp": f"{now:.0f}"}
        if self.secret:
            headers["webhook-signature"] = signature(self.secret, notice.id, headers["webhook-timestamp"], body)
        return await post(self.url, body, headers)
