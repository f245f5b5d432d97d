"""The port of a receiver of alerts. Satisfied by observe.alert_webhook, alert_slack, alert_mail and alert_manager."""

from typing import Protocol

from bateau.domain.alert import Notice


class AlertReceiver(Protocol):
    """A place that alerts are delivered to.

    `name` is for people and metrics, `id` tells it from a receiver with the same name and another address. If
    `resend_s` is set, the alerts that fire are sent again so often.
    """

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def resend_s(self) -> float | None:
        """How often the alerts that fire are sent again; None: they are not."""
        ...

    async def send(self, notice: Notice, now: float) -> str | None:
        """Deliver a notice once. Return why that failed, None if it did not. Never raises for a receiver's failure."""
        ...
