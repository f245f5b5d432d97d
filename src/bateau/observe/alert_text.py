"""Alerts as text for people.

Called by observe.alert_mail and observe.alert_slack. Pure.
"""

from collections.abc import Iterator

from bateau.domain.alert import Alert, Notice
from bateau.kit.rfc3339 import rfc3339
from bateau.kit.visible import visible


def title(notice: Notice) -> str:
    """Return one line about a notice."""
    firing = [each for each in notice.alerts if each.state == "firing"]
    if not firing:
        return f"Resolved: {visible(notice.group)} on {notice.instance}"
    worst = "Critical" if any(each.severity == "critical" for each in firing) else "Warning"
    return f"{worst}: {visible(firing[0].summary)} on {notice.instance}"


def lines(alert: Alert, notice: Notice) -> Iterator[str]:
    """Yield the lines about an alert, after its summary."""
    if alert.ended_at is not None:
        yield f"It is over since {rfc3339(alert.ended_at)}, and began {rfc3339(alert.since)}."
    else:
        if alert.cause:
            yield f"Cause: {visible(alert.cause)}"
        if alert.says and alert.says != alert.cause:
            yield f"{visible(alert.says)}, since {rfc3339(alert.since)}"
        yield f"Fix: {visible(alert.description)}"
    yield notice.link(alert)
