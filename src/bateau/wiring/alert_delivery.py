"""Deliver alerts to one receiver: once for each change, again only if it failed, and one receiver beside the others.

Called by wiring.alerts.

The result of a delivery is saved right after the receiver has answered. A control plane that is killed between the two
sends the same notice again, with the same id.

Invariant: a receiver that fails delays no other, and gets the latest alerts once it answers. Held by
tests/wiring/test_alert_delivery.py::test_a_failing_receiver_keeps_nobody_else_waiting.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from bateau.control.alert_book import AlertBook
from bateau.domain.alert import Alert, Notice
from bateau.domain.event import Event
from bateau.kit.backoff import Backoff
from bateau.ports.alert_receiver import AlertReceiver
from bateau.ports.clock import Clock

logger = logging.getLogger(__name__)

_BACKOFF: Final = Backoff(initial_s=2.0, ceiling_s=300.0)
SENT, FAILED = "sent", "failed"


class Courier:
    """Delivers the alerts of a book to one receiver. `save` stores the book, `tell` takes events."""

    def __init__(
        self,
        receiver: AlertReceiver,
        book: AlertBook,
        clock: Clock,
        *,
        instance: str,
        url: Callable[[], str],
        save: Callable[[], None],
        tell: Callable[[Event], None],
    ) -> None:
        self.receiver = receiver
        self.outcomes = Counter[str]()
        self.error: str | None = None
        self._book = book
        self._clock = clock
        self._instance = instance
        self._url = url
        self._save = save
        self._tell = tell
        self._tries = 0
        self._again_at = 0.0
        self._resent_at = clock.monotonic() - (receiver.resend_s or 0.0)

    async def deliver(self) -> None:
        """Send the notices that are due now; called again and again."""
        if self._clock.monotonic() < self._again_at:
            return
        for group, alerts in self._book.undelivered(self.receiver.id, self._clock.wall()).items():
            if not await self._send(group, alerts):
                return
            self._book.delivered(self.receiver.id, alerts)
            self._save()
        if self.receiver.resend_s is not None:
            await self._resend(self.receiver.resend_s)

    async def test(self, alert: Alert) -> str | None:
        """Send a test alert now, and return why that failed."""
        return await self._attempt(self._notice(alert.subject, [alert]))

    async def _resend(self, every_s: float) -> None:
        now = self._clock.monotonic()
        known = self._book.known_to(self.receiver.id)
        if now - self._resent_at < every_s or not known:
            return
        if await self._send("", known):
            self._resent_at = now

    async def _send(self, group: str, alerts: Sequence[Alert]) -> bool:
        why = await self._attempt(self._notice(group, alerts))
        if why is None:
            self._succeeded()
        else:
            self._failed(why)
        return why is None

    def _succeeded(self) -> None:
        self.outcomes[SENT] += 1
        self._tries, self._again_at, self.error = 0, 0.0, None

    def _failed(self, why: str) -> None:
        self.outcomes[FAILED] += 1
        self._tries += 1
        self._again_at = self._clock.monotonic() + _BACKOFF.delay_s(self._tries)
        if self.error is None:
            says = f"alerts could not be delivered to {self.receiver.name}: {why}; Bateau retries"
            event = Event(
                when_s=self._clock.wall(),
                subject=self.receiver.name,
                reason="DeliveryFailed",
                says=says,
                warning=True,
            )
            self._tell(event)
        self.error = why

    async def _attempt(self, notice: Notice) -> str | None:
        try:
            return await self.receiver.send(notice, self._clock.wall())
        except Exception as error:
            logger.exception("the receiver %s has a bug", self.receiver.name)
            return f"a bug: {type(error).__name__}"

    def _notice(self, group: str, alerts: Sequence[Alert]) -> Notice:
        changes = "\n".join(f"{each.key} {each.state} {each.fired_at}" for each in alerts)
        identity = hashlib.sha256(f"{self._instance}\n{group}\n{changes}".encode()).hexdigest()[:32]
        return Notice(id=f"alert_{identity}", group=group, alerts=alerts, instance=self._instance, url=self._url())
