"""The alerts of an instance, their silences, and the alerts that each receiver was notified of. Pure.

Called by wiring.alerts, wiring.alert_delivery and wiring.alert_file.

A notice has the differences from the last one to the same receiver. So a receiver that was away gets each alert that
still fires, and none that has come and gone meanwhile; nothing piles up.

Invariant: a receiver is notified once that an alert fires, and once that it is over. Held by
tests/control/test_alert_book.py::test_a_receiver_is_told_once_that_an_alert_fires_and_once_that_it_is_over.
Invariant: a silence keeps back that an alert fires, and never the end of one that a receiver knows. Held by
tests/control/test_alert_book.py::test_a_silence_never_keeps_back_the_end_of_an_alert.
Refused: a queue of notices. It grows while a receiver is away, and then tells old news.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bateau.domain.alert import Alert, Shown, Silence

GROUP_WAIT_S: Final = 5.0  # alerts of a service that fire together are one notice
ENDED_MAX: Final = 200
ENDED_KEPT_S: Final = 7 * 86_400.0
SILENCES_MAX: Final = 200


@dataclass(slots=True)
class AlertBook:
    """Alerts by key, those that have ended, silences by id, and by receiver the alerts that it was notified of.

    `notified` has for each receiver the times at which the alerts began to fire, by the keys of the alerts.
    """

    alerts: dict[str, Alert] = field(default_factory=dict[str, Alert])
    ended: list[Alert] = field(default_factory=list[Alert])
    silences: dict[str, Silence] = field(default_factory=dict[str, Silence])
    notified: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def firing(self) -> Sequence[Alert]:
        """Return the alerts that fire, the worst and then the oldest first."""
        found = [each for each in self.alerts.values() if each.state == "firing"]
        return sorted(found, key=lambda each: (each.severity != "critical", each.fired_at, each.key))

    def silence_of(self, alert: Alert, now: float) -> Silence | None:
        """Return the silence that keeps an alert back, the longest one."""
        found = [each for each in self.silences.values() if each.covers(alert, now)]
        return max(found, key=lambda each: each.until, default=None)

    def shown(self, now: float) -> tuple[Shown, ...]:
        """Return the alerts that fire, as pages show them."""
        return tuple(Shown(alert=each, silence=self.silence_of(each, now)) for each in self.firing())

    def take(self, alerts: Mapping[str, Alert], ended: Iterable[Alert], now: float) -> None:
        """Take the alerts of a step, and those that have ended in it. Old ones, and silences that are over, go."""
        self.alerts = dict(alerts)
        kept = [each for each in (*self.ended, *ended) if now - (each.ended_at or 0.0) < ENDED_KEPT_S]
        self.ended = kept[-ENDED_MAX:]
        self.silences = {id_: each for id_, each in self.silences.items() if now < each.until}

    def undelivered(self, receiver: str, now: float) -> Mapping[str, Sequence[Alert]]:
        """Return the alerts that a receiver must be notified of, in groups, once a group has waited for others."""
        notified = self.notified.get(receiver, {})
        new = [each for each in self.firing() if each.key not in notified and not self.silence_of(each, now)]
        over = [alert for key in notified if (alert := self._over(key)) is not None]
        groups: dict[str, list[Alert]] = {}
        for each in (*new, *over):
            groups.setdefault(each.service or each.subject, []).append(each)
        return {name: group for name, group in groups.items() if _has_waited(group, now)}

    def delivered(self, receiver: str, alerts: Iterable[Alert]) -> None:
        """Note that a receiver was notified of these alerts."""
        notified = self.notified.setdefault(receiver, {})
        for each in alerts:
            if each.state == "firing":
                notified[each.key] = each.fired_at or 0.0
            else:
                notified.pop(each.key, None)

    def keep_receivers(self, receivers: Iterable[str]) -> None:
        """Forget what other receivers were notified, and the alerts whose end is not known."""
        self.notified = {name: self.notified.get(name, {}) for name in receivers}
        for notified in self.notified.values():
            for key in [key for key in notified if key not in self.alerts and self._over(key) is None]:
                del notified[key]

    def leave_others(self, names: Collection[str]) -> None:
        """Forget the alerts of all rules but these, without a notice: another control plane delivers them now."""
        left = {key for key, each in self.alerts.items() if each.name not in names}
        self.alerts = {key: each for key, each in self.alerts.items() if key not in left}
        for notified in self.notified.values():
            for key in left & notified.keys():
                del notified[key]

    def known_to(self, receiver: str) -> Sequence[Alert]:
        """Return the firing alerts that a receiver was notified of."""
        notified = self.notified.get(receiver, {})
        return [each for each in self.firing() if each.key in notified]

    def _over(self, key: str) -> Alert | None:
        """Return an alert that is over; None if it fires, or nobody knows it."""
        now = self.alerts.get(key)
        if now is not None and now.state == "firing":
            return None
        return next((each for each in reversed(self.ended) if each.key == key), None)


def _has_waited(group: Sequence[Alert], now: float) -> bool:
    began = min((each.ended_at if each.ended_at is not None else each.fired_at) or 0.0 for each in group)
    return not 0 <= now - began < GROUP_WAIT_S
