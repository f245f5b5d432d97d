"""Alerts as parts of pages.

Called by ui.pages.alerts_page, ui.pages.overview and ui.pages.service_page.

Invariant: a text of an alert is shown as text, also where others have written it. Held by
tests/ui/test_alerts.py::test_the_texts_of_an_alert_are_text.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

import htpy as h

from bateau.domain.alert import Alert, Shown
from bateau.domain.sign_in import Role
from bateau.ui.words import safe

_SILENCE_S: Final = 2 * 3600


def firing_section(found: Sequence[Shown], role: Role, *, with_service: bool = True, reports: bool = True) -> h.Element:
    """Return the alerts that fire, as a part with the id `alerts`. With `reports`, it shows the results of actions."""
    loud = sum(each.silence is None for each in found)
    title = f"{len(found)} alert{'' if len(found) == 1 else 's'}"
    return h.section("#alerts.alerts", aria_labelledby="alerts-title", hidden=not found)[
        h.h2("#alerts-title")[title, loud < len(found) and h.span(".note")[f", {len(found) - loud} silenced"]],
        h.ul[(_firing(each, role, with_service=with_service) for each in found)],
        reports and h.p("#alerts-done.note", role="status", data_keep="children"),
    ]


def _firing(each: Shown, role: Role, *, with_service: bool) -> h.Element:
    alert, tone = each.alert, "bad" if each.alert.severity == "critical" else "warn"
    return h.li(id=f"alert-{_id(alert)}", class_=[tone, each.silence and "silenced"])[
        h.div(".line")[
            h.span(class_=["state", tone])[alert.severity],
            h.strong[safe(alert.summary)],
            with_service and alert.service and h.a(href=f"/ui/services/{safe(alert.service)}")[safe(alert.service)],
            _silence_button(each) if role != "view" else None,
        ],
        h.dl(".why")[(h.div[h.dt[term], h.dd[value]] for term, value in _facts(each))],
    ]


def _facts(each: Shown) -> Iterator[tuple[str, h.Node]]:
    alert = each.alert
    if alert.cause:
        yield "Cause", safe(alert.cause)
    if alert.says and alert.says != alert.cause:
        yield "Measured", safe(alert.says)
    yield "Fix", with_code(safe(alert.description))
    yield "Since", [time(alert.since), " · ", h.code[alert.name]]
    if each.silence:
        yield (
            "Silenced",
            [
                "until ",
                time(each.silence.until),
                f" by {safe(each.silence.by)}: {safe(each.silence.why)}",
            ],
        )


def _silence_button(each: Shown) -> h.Element:
    alert = each.alert
    if each.silence:
        return h.button(".quiet", type="button", data_alert=f"/ui/alerts/unsilence/{each.silence.id}")[
            "End silence", h.span(".sr")[f" of {alert.name} of {safe(alert.subject)}"]
        ]
    asked = {"alert": alert.name, "for": str(_SILENCE_S), **({"service": alert.service} if alert.service else {})}
    return h.button(".quiet", type="button", data_alert=f"/ui/alerts/silence?{urlencode(asked)}")[
        "Silence 2 h", h.span(".sr")[f" {alert.name} of {safe(alert.subject)}"]
    ]


def with_code(text: str) -> h.Node:
    """Return a text with its words in backticks as code."""
    return [h.code[part] if index % 2 else part for index, part in enumerate(text.split("`"))]


def time(seconds: float) -> h.Element:
    """Return a time to the second."""
    at = datetime.fromtimestamp(seconds, UTC)
    return h.time(datetime=at.isoformat(timespec="seconds"))[f"{at:%Y-%m-%d %H:%M:%S} UTC"]


def _id(alert: Alert) -> str:
    return "".join(each if each.isalnum() else "-" for each in alert.key)
