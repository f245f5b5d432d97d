"""The alerts that fire and the states of services, as metrics: the rules for Prometheus read them.

Called by wiring.controller_terms and wiring.metrics.

Invariant: an alert that does not fire has no series. Held by
tests/wiring/test_alert_metrics.py::test_only_alerts_that_fire_have_a_series.
"""

from collections.abc import Sequence

from bateau.domain.alert import Shown
from bateau.domain.status import Status
from bateau.observe.metrics import Page
from bateau.render.monitoring.rules import FIRING


def add_alerts(page: Page, alerts: Sequence[Shown]) -> None:
    """Add a sample for each alert that fires, silenced or not."""
    for alert in (each.alert for each in alerts):
        if alert.state == "firing":
            labels = {"alertname": alert.name, "severity": alert.severity, "subject": alert.subject}
            page.add(FIRING, labels, 1, kind="gauge", says="1 for each alert that fires.")


def add_states(page: Page, status: Status | None) -> None:
    """Add the state of each service; none while it is not known."""
    for each in status.services if status else ():
        labels = {"service": each.service, "state": str(each.state)}
        page.add("bateau_service_state", labels, 1, kind="gauge", says="1 for the state that a service is in.")
