"""Deliver alerts to an Alertmanager, as Prometheus does.

Called by wiring.alert_receivers. Satisfies `ports.alert_receiver.AlertReceiver`.
Source: Alertmanager's API v2 (`POST /api/v2/alerts`); Prometheus, "Alerting rules": an alert that fires is sent again
each minute and ends by itself after four, so that it ends if its sender is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bateau.domain.alert import Alert, Notice
from bateau.kit.json_value import JsonObject
from bateau.kit.rfc3339 import rfc3339
from bateau.observe.alert_json import annotations, labels
from bateau.observe.alert_post import encoded, identity, post

RESEND_S: Final = 60.0
_LASTS: Final = 4  # times the time between two sendings


@dataclass(frozen=True, kw_only=True)
class AlertmanagerReceiver:
    """An Alertmanager at a URL, such as http://127.0.0.1:9093. `headers` may have credentials."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    resend_s: float | None = RESEND_S

    @property
    def id(self) -> str:
        """Its id."""
        return identity("alertmanager", self.url)

    async def send(self, notice: Notice, now: float) -> str | None:
        """Deliver a notice once."""
        body = encoded([self._postable(each, notice, now) for each in notice.alerts])
        return await post(f"{self.url.rstrip('/')}/api/v2/alerts", body, self.headers)

    def _postable(self, alert: Alert, notice: Notice, now: float) -> JsonObject:
        until = now + _LASTS * (self.resend_s or RESEND_S) if alert.ended_at is None else alert.ended_at
        return {
            "labels": {**labels(alert, notice)},
            "annotations": {**annotations(alert)},
            "startsAt": rfc3339(alert.fired_at or alert.since),
            "endsAt": rfc3339(until),
            "generatorURL": notice.link(alert),
        }
