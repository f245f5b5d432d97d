"""Alerts and states of services on the metrics page."""

import dataclasses

from bateau.domain.alert import Alert, Shown, Silence
from bateau.observe.metrics import Page, samples
from bateau.wiring.alert_metrics import add_alerts, add_states
from cli.faked import service, status

FIRES = Alert(
    name="BateauDrift",
    subject='key "a\\b"',
    service=None,
    severity="warning",
    summary="it drifts",
    description="stop it",
    since=1.0,
    held_at=2.0,
    fired_at=2.0,
)


def test_only_alerts_that_fire_have_a_series() -> None:
    page = Page()
    silence = Silence(id="1", service=None, name="BateauDrift", until=9.0, why="", by="", created_at=0.0)
    pending = dataclasses.replace(FIRES, name="BateauKeyExpires", fired_at=None)
    ended = dataclasses.replace(FIRES, name="BateauDiskFull", ended_at=3.0)
    add_alerts(page, [Shown(alert=FIRES, silence=silence), Shown(alert=pending), Shown(alert=ended)])
    (found,) = samples(page.text())
    labels = {"alertname": "BateauDrift", "severity": "warning", "subject": 'key "a\\b"'}
    assert found == ("bateau_alert_firing", labels, "1")


def test_each_service_has_its_state_once_it_is_known() -> None:
    page = Page()
    add_states(page, None)
    assert page.text() == "\n"
    add_states(page, status(service("model/chat")))
    assert list(samples(page.text())) == [("bateau_service_state", {"service": "model/chat", "state": "Ready"}, "1")]
