"""Alerts in the form of Alertmanager, which the tools of the field understand.

Called by observe.alert_manager and observe.alert_webhook. Pure.
Source: Prometheus Alertmanager, "Configuration" (`<webhook_config>`, version 4) and its API v2 (`postableAlert`).
"""

import hashlib
import json
from typing import Final

from bateau.domain.alert import Alert, Notice
from bateau.kit.json_value import JsonObject
from bateau.kit.rfc3339 import rfc3339

_NEVER: Final = "0001-01-01T00:00:00Z"  # as Alertmanager writes the end of an alert that fires


def labels(alert: Alert, notice: Notice) -> dict[str, str]:
    """Return the labels of an alert: equal ones are the same alert."""
    service = {"service": alert.service} if alert.service else {"subject": alert.subject}
    return {"alertname": alert.name, "severity": alert.severity, "instance": notice.instance, **service}


def annotations(alert: Alert) -> dict[str, str]:
    """Return the annotations of an alert; those without a text are left out."""
    found = {
        "summary": alert.summary,
        "description": alert.description,
        "value": alert.says,
        "cause": alert.cause,
    }
    return {name: text for name, text in found.items() if text}


def webhook_tree(notice: Notice, *, receiver: str) -> JsonObject:
    """Return a notice as the body of Alertmanager's webhook."""
    group = {"service": notice.group} if "/" in notice.group else {"subject": notice.group}
    each_labels = [labels(each, notice) for each in notice.alerts]
    common = {
        name: value for name, value in each_labels[0].items() if all(other.get(name) == value for other in each_labels)
    }
    return {
        "version": "4",
        "groupKey": json.dumps({"instance": notice.instance, **group}, sort_keys=True),
        "truncatedAlerts": 0,
        "status": "resolved" if notice.is_resolved else "firing",
        "receiver": receiver,
        "groupLabels": {**group},
        "commonLabels": {**common},
        "commonAnnotations": {},
        "externalURL": f"{notice.url}/ui/",
        "alerts": [_alert(each, notice) for each in notice.alerts],
    }


def _alert(alert: Alert, notice: Notice) -> JsonObject:
    mine = labels(alert, notice)
    return {
        "status": alert.state,
        "labels": {**mine},
        "annotations": {**annotations(alert)},
        "startsAt": rfc3339(alert.fired_at or alert.since),
        "endsAt": _NEVER if alert.ended_at is None else rfc3339(alert.ended_at),
        "generatorURL": notice.link(alert),
        "fingerprint": hashlib.sha256(json.dumps(mine, sort_keys=True).encode()).hexdigest()[:16],
    }
