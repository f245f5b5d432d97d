"""An alert: a rule that holds for one service or thing; and a silence, which keeps alerts from being delivered.

Made by control.alerting and wiring.alerts; delivered by observe; shown by api, cli and ui.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bateau.domain.alert_rules import Severity

AlertState = Literal["pending", "firing", "resolved"]
TEST: Final = "BateauTest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert. Times are in seconds since the epoch.

    `name` is that of its rule. `subject` is what it is about: the key of a `service`, or a word such as "key ada".
    `since` is when its condition began, `fired_at` when it had lasted for long enough, `ended_at` when it was over, and
    `held_at` when it held last. `says` has the numbers, and `cause` what the timeline knows; it is empty if that is
    nothing.
    """

    name: str
    subject: str
    service: str | None
    severity: Severity
    summary: str
    description: str
    since: float
    held_at: float
    fired_at: float | None = None
    ended_at: float | None = None
    says: str = ""
    cause: str = ""

    @property
    def key(self) -> str:
        """The key: there is one alert for each rule and subject."""
        return f"{self.name} {self.subject}"

    @property
    def state(self) -> AlertState:
        """Its state."""
        if self.ended_at is not None:
            return "resolved"
        return "pending" if self.fired_at is None else "firing"

    @property
    def path(self) -> str:
        """The path of its page on the dashboard."""
        return f"/ui/services/{self.service}" if self.service else "/ui/alerts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Alerts of a service, of a rule, or of both are not delivered until a time. `by` and `why` are for people."""

    id: str
    service: str | None
    name: str | None
    until: float
    why: str
    by: str
    created_at: float

    def covers(self, alert: Alert, now: float) -> bool:
        """Whether it keeps an alert back now."""
        same_service = self.service is None or self.service == alert.service
        same_rule = self.name is None or self.name == alert.name
        return now < self.until and same_service and same_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An alert as pages and programs show it, with the silence that keeps it back."""

    alert: Alert
    silence: Silence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertBoard:
    """The alerts that fire, those that have ended (the latest last), the silences, and why receivers fail, by name."""

    firing: tuple[Shown, ...] = ()
    ended: tuple[Alert, ...] = ()
    silences: tuple[Silence, ...] = ()
    receivers: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The result of a test of one receiver: `error` is None if it has taken the test alert."""

    receiver: str
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The alerts of one service or thing whose state has changed, as a receiver gets them.

    `id` is the same if the notice is sent again. `instance` names this instance among others, `url` is that of its
    endpoint.
    """

    id: str
    group: str
    alerts: Sequence[Alert]
    instance: str
    url: str

    @property
    def is_resolved(self) -> bool:
        """Whether all of its alerts are over."""
        return all(each.state == "resolved" for each in self.alerts)

    def link(self, alert: Alert) -> str:
        """Return the address of the page of an alert."""
        return self.url + alert.path
